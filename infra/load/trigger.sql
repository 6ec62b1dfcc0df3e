-- Three tables of one shape: bare, with Roomcast's triggers, with a webhook's (webhook.sql).
create table public.bare_messages (like public.messages including all);
create table public.hook_messages (like public.messages including all);

create trigger hook after insert or update or delete on public.hook_messages for each row
    execute function supabase_functions.http_request(
        'http://127.0.0.1:9/webhooks/supabase', 'POST',
        '{"Content-type":"application/json","Authorization":"Bearer load-webhook-secret-of-32-characters"}', '{}', '5000');
