-- What a dashboard webhook is to a statement: a row trigger that builds the payload,
-- queues it for pg_net and notes the request, as supabase_functions.http_request
-- does (FACTS.md).
create schema supabase_functions;
create table supabase_functions.hooks (
    id bigserial primary key,
    hook_table_id int not null,
    hook_name text not null,
    created_at timestamptz not null default now(),
    request_id bigint
);
create index on supabase_functions.hooks (request_id);
create index on supabase_functions.hooks (hook_table_id, hook_name);

-- The same steps as the original's, in the same order: an expression of plpgsql costs
-- its share in every transaction, so leaving one out would be cheating.
create function supabase_functions.http_request() returns trigger
    language plpgsql security definer set search_path = supabase_functions
    as $$
declare
    request bigint;
    content jsonb;
    url     text := tg_argv[0]::text;
    method  text := tg_argv[1]::text;
    headers jsonb default '{}'::jsonb;
    params  jsonb default '{}'::jsonb;
    timeout int default 1000;
begin
    if url is null or url = 'null' then
        raise exception 'no url';
    end if;
    if method is null or method = 'null' then
        raise exception 'no method';
    end if;
    if tg_argv[2] is not null and tg_argv[2] <> 'null' then
        headers := tg_argv[2]::jsonb;
    end if;
    if tg_argv[3] is not null and tg_argv[3] <> 'null' then
        params := tg_argv[3]::jsonb;
    end if;
    if tg_argv[4] is not null and tg_argv[4] <> 'null' then
        timeout := tg_argv[4]::int;
    end if;
    if method <> 'POST' then
        raise exception 'method %', method;
    end if;
    content := jsonb_build_object('old_record', old, 'record', new, 'type', tg_op, 'table', tg_table_name, 'schema', tg_table_schema);
    select p into request from net.http_post(url, content, params, headers, timeout) p;
    insert into supabase_functions.hooks (hook_table_id, hook_name, request_id) values (tg_relid, tg_name, request);
    return new;
end
$$;

-- The stand-in wakes its sender by NOTIFY, which costs a commit more than the
-- extension's shared memory does. Here nobody is to be woken: the webhook gets that
-- for nothing.
create or replace function net.wake() returns void language sql as $$ $$;
