-- A forum: categories in categories, topics, posts that answer posts, votes.
create table public.categories (id serial primary key, parent_id int references public.categories, name text not null);
create table public.topics (id uuid primary key default gen_random_uuid(), category_id int not null references public.categories, author_id uuid references auth.users, title text not null);
create table public.posts (id uuid primary key default gen_random_uuid(), topic_id uuid not null references public.topics on delete cascade, reply_to uuid references public.posts, author_id uuid references auth.users, content text not null, edited_at timestamptz);
create table public.post_votes (post_id uuid not null references public.posts on delete cascade, user_id uuid not null references auth.users, value int not null, primary key (post_id, user_id));
create table public.topic_followers (topic_id uuid not null references public.topics on delete cascade, user_id uuid not null references auth.users, primary key (topic_id, user_id));
create publication supabase_realtime for table public.posts, public.post_votes, public.topics;
