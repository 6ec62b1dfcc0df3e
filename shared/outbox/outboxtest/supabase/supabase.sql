-- What a chat's tables and policies expect of a Supabase project: its roles,
-- auth.users, and the functions that read the request's claims. Enough for
-- row level security; not Supabase Auth. Twice is harmless.

do $$
declare
    r record;
begin
    -- Roles belong to the whole cluster; another database may be creating them now.
    for r in select * from (values
        ('anon', 'nologin noinherit'),
        ('authenticated', 'nologin noinherit'),
        ('service_role', 'nologin noinherit bypassrls')) as roles (name, attributes)
    loop
        begin
            if to_regrole(r.name) is null then
                execute format('create role %I %s', r.name, r.attributes);
            end if;
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
end
$$;

grant usage on schema public to anon, authenticated, service_role;
-- As on Supabase, where row level security, not the grant, is the fence.
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;

create schema if not exists auth;
grant usage on schema auth to public;

create table if not exists auth.users (
    id uuid primary key default gen_random_uuid(),
    aud text not null default 'authenticated',
    role text not null default 'authenticated',
    email text unique,
    raw_app_meta_data jsonb not null default '{}',
    raw_user_meta_data jsonb not null default '{}',
    is_anonymous boolean not null default false,
    created_at timestamptz not null default now()
);

-- PostgREST puts the verified token's claims into this setting for each request.
create or replace function auth.jwt() returns jsonb
    language sql stable
    as $$ select nullif(current_setting('request.jwt.claims', true), '')::jsonb $$;

create or replace function auth.uid() returns uuid
    language sql stable
    as $$ select (auth.jwt() ->> 'sub')::uuid $$;

create or replace function auth.role() returns text
    language sql stable
    as $$ select auth.jwt() ->> 'role' $$;
