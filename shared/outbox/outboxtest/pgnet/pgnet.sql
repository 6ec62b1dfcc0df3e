-- A stand-in for the extension pg_net 0.20.4: the same tables and signatures
-- (read in github.com/supabase/pg_net, sql/pg_net.sql), in plain SQL. What the
-- extension's background worker does, the Go sender beside this file does.
-- Applying it twice is harmless.

create schema if not exists net;

create unlogged table if not exists net.http_request_queue (
    id bigserial,
    method text not null check (upper(method) in ('GET', 'POST', 'DELETE')),
    url text not null,
    headers jsonb,
    body bytea,
    timeout_milliseconds int not null
);
comment on table net.http_request_queue is
    'Requests to send. Unlogged as in pg_net: a crash of Postgres empties it.';

create unlogged table if not exists net._http_response (
    id bigint,
    status_code int,
    content_type text,
    headers jsonb,
    content text,
    timed_out bool,
    error_msg text,
    created timestamptz not null default now()
);
create index if not exists _http_response_created_idx on net._http_response (created);
comment on table net._http_response is
    'What came back, kept for six hours. Unlogged as in pg_net.';

-- The extension wakes its worker once per commit, however many requests the
-- transaction queued. NOTIFY does the same: equal notifications of one
-- transaction are folded into one, delivered at commit.
create or replace function net.wake() returns void
    language sql
    as $$ select pg_notify('pgnet_wake', '') $$;

create or replace function net._urlencode_string(string varchar) returns text
    language sql immutable strict
    set search_path = pg_catalog
    as $$
    select coalesce(string_agg(
        case when chr(b) ~ '[A-Za-z0-9_.~-]' then chr(b) else '%' || upper(lpad(to_hex(b), 2, '0')) end,
        '' order by i), '')
    from (select convert_to(string, 'UTF8') as bytes) as s,
         generate_series(0, length(bytes) - 1) as i,
         get_byte(bytes, i) as b
    $$;

create or replace function net._enqueue(
    method text, url text, params jsonb, headers jsonb, body jsonb, timeout_milliseconds int
) returns bigint
    language plpgsql
    as $$
declare
    query text := (
        select string_agg(net._urlencode_string(key) || '=' || net._urlencode_string(value), '&')
        from jsonb_each_text(params));
    request_id bigint;
begin
    insert into net.http_request_queue (method, url, headers, body, timeout_milliseconds)
    values (
        method,
        url || coalesce(case when strpos(url, '?') > 0 then '&' else '?' end || query, ''),
        headers, convert_to(body::text, 'UTF8'), timeout_milliseconds)
    returning id into request_id;
    perform net.wake();
    return request_id;
end
$$;

create or replace function net.http_get(
    url text,
    params jsonb default '{}'::jsonb,
    headers jsonb default '{}'::jsonb,
    timeout_milliseconds int default 5000
) returns bigint
    language sql
    as $$ select net._enqueue('GET', url, params, headers, null, timeout_milliseconds) $$;

create or replace function net.http_post(
    url text,
    body jsonb default '{}'::jsonb,
    params jsonb default '{}'::jsonb,
    headers jsonb default '{"Content-Type": "application/json"}'::jsonb,
    timeout_milliseconds int default 5000
) returns bigint
    language plpgsql
    as $$
declare
    content_type text := (
        select value from jsonb_each_text(coalesce(headers, '{}')) where lower(key) = 'content-type' limit 1);
begin
    if content_type is null then
        headers := headers || '{"Content-Type": "application/json"}';
    elsif content_type <> 'application/json' then
        raise exception 'Content-Type header must be "application/json"';
    end if;
    return net._enqueue('POST', url, params, headers, body, timeout_milliseconds);
end
$$;

create or replace function net.http_delete(
    url text,
    params jsonb default '{}'::jsonb,
    headers jsonb default '{}'::jsonb,
    timeout_milliseconds int default 5000,
    body jsonb default null
) returns bigint
    language sql
    as $$ select net._enqueue('DELETE', url, params, headers, body, timeout_milliseconds) $$;

-- The extension grants as widely; it has nothing to protect but the queue.
grant usage on schema net to public;
grant all on all sequences in schema net to public;
grant all on all tables in schema net to public;
