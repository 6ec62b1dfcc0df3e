insert into talk.threads select 'red', n, 'thread ' || n from generate_series(0, 19) n;
insert into talk.members (team, no, member) select team, no, gen_random_uuid() from talk.threads, generate_series(1, 5);
-- cost: a message, its room of two columns
insert into talk.posts values ('red', $1::int % 20, $1::int, gen_random_uuid(), 'a message of usual length, more or less')
