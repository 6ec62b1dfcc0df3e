-- A stand-in for the extension pg_cron 1.6: the names that a schedule needs, in
-- plain SQL. The Go runner beside this file runs the jobs. Twice is harmless.

create schema if not exists cron;

create table if not exists cron.job (
    jobid bigserial primary key,
    schedule text not null,
    command text not null,
    nodename text not null default 'localhost',
    nodeport int not null default coalesce(inet_server_port(), 5432),
    database text not null default current_database(),
    username text not null default current_user,
    active boolean not null default true,
    jobname text,
    constraint jobname_username_uniq unique (jobname, username)
);

create table if not exists cron.job_run_details (
    jobid bigint,
    runid bigserial primary key,
    database text,
    username text,
    command text,
    status text,
    return_message text,
    start_time timestamptz,
    end_time timestamptz
);

-- Understood: 'N seconds' for 1 to 59, as pg_cron has since 1.5, every minute, and
-- every hour at some minute, which is taken as an hour from now.
create or replace function cron._interval(schedule text) returns interval
    language plpgsql immutable
    as $$
begin
    if schedule ~ '^\s*([1-9]|[1-5][0-9])\s+seconds?\s*$' then
        return trim(schedule)::interval;
    elsif regexp_replace(trim(schedule), '\s+', ' ', 'g') in ('* * * * *', '*/1 * * * *') then
        return interval '1 minute';
    elsif trim(schedule) ~ '^([0-9]|[1-5][0-9])( \*){4}$' then
        return interval '1 hour';
    end if;
    raise exception 'invalid schedule: %', schedule
        using hint = 'This stand-in for pg_cron knows ''[1-59] seconds'', ''* * * * *'' and ''M * * * *''.';
end
$$;

-- A name that exists already for the same user is rescheduled.
create or replace function cron.schedule(job_name text, schedule text, command text) returns bigint
    language plpgsql
    as $$
declare
    id bigint;
begin
    perform cron._interval(schedule);
    insert into cron.job (jobname, schedule, command) values (job_name, schedule, command)
    on conflict on constraint jobname_username_uniq
        do update set schedule = excluded.schedule, command = excluded.command
    returning jobid into id;
    return id;
end
$$;

create or replace function cron.schedule(schedule text, command text) returns bigint
    language sql
    as $$ select cron.schedule(null, schedule, command) $$;

create or replace function cron.unschedule(job_name text) returns boolean
    language plpgsql
    as $$
begin
    delete from cron.job where jobname = job_name and username = current_user;
    if not found then
        raise exception 'could not find valid entry for job ''%''', job_name;
    end if;
    return true;
end
$$;

create or replace function cron.unschedule(job_id bigint) returns boolean
    language plpgsql
    as $$
begin
    delete from cron.job where jobid = job_id and username = current_user;
    if not found then
        raise exception 'could not find valid entry for job %', job_id;
    end if;
    return true;
end
$$;

grant usage on schema cron to public;
grant select, insert, update, delete on cron.job to public;
grant select on cron.job_run_details to public;
grant usage on all sequences in schema cron to public;
