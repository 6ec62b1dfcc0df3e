insert into talk.threads values ('red', 1, 'plans');
insert into talk.members (team, no, member) values ('red', 1, '11111111-0000-4000-8000-000000000001');
-- => room red/1: user-joined
-- => user 11111111-0000-4000-8000-000000000001: user-joined
-- may 11111111-0000-4000-8000-000000000001 red/1: yes
-- may 11111111-0000-4000-8000-000000000001 red/2: no
insert into talk.posts values ('red', 1, 1, '11111111-0000-4000-8000-000000000001', 'first');
-- => room red/1: new-message {"post":1,"words":"first"}
update talk.posts set post = 2 where post = 1;
-- => room red/1: message-deleted {"team":"red","no":1,"post":1}
-- => room red/1: new-message {"post":2,"words":"first"}
update talk.posts set words = 'second' where post = 2;
-- => room red/1: message-updated {"words":"second"}
insert into talk.polls values (5, 'red', 1);
update talk.polls set open = false where id = 5;
-- => room red/1: poll-closed {"id":5}
-- => user 11111111-0000-4000-8000-000000000001: poll-result {"id":5}
delete from talk.threads;
-- => room red/1: message-deleted {"team":"red","no":1,"post":2}
-- => room red/1: user-left
-- => user 11111111-0000-4000-8000-000000000001: user-left
