-- Moderators read every room. That they are is said by app_metadata in their token,
-- which only the project's own server can write. Never ask user_metadata: users write
-- it themselves.
create or replace function roomcast.can_read(room text, user_id uuid, claims jsonb) returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
  select roomcast.is_member($1, $2)
      or coalesce($3 -> 'app_metadata' -> 'roles' ? 'moderator', false)
$$;

-- A token keeps what it says until it expires, an hour by default. Taking the role
-- away ends what is open now; the old token could still be used to come back, so end
-- the user's sessions, too, or look the role up in a table.
create or replace function public.demote(moderator uuid) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update auth.users u set raw_app_meta_data = u.raw_app_meta_data - 'roles' where u.id = moderator;
  perform roomcast.recheck(r.id::text, moderator) from public.chat_rooms r;
end
$$;
revoke all on function public.demote(uuid) from public, anon, authenticated;
