-- A schema of its own, keys of two columns, and events that the database sends itself
-- (on Supabase with realtime.send and realtime.broadcast_changes).
create schema talk;
create table talk.threads (team text not null, no int not null, subject text, primary key (team, no));
create table talk.members (team text not null, no int not null, member uuid not null, primary key (team, no, member),
  foreign key (team, no) references talk.threads on delete cascade);
create table talk.posts (
  team text not null, no int not null, post int not null,
  author uuid not null, words text,
  primary key (team, no, post),
  foreign key (team, no) references talk.threads on delete cascade);
create table talk.polls (id int primary key, team text not null, no int not null, open boolean not null default true);
