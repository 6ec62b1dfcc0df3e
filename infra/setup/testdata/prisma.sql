-- As Prisma writes it: every name in quotes, rooms and users by an implicit relation.
create table public."User" (id uuid primary key default gen_random_uuid(), "userName" text, email text);
create table public."Room" (id uuid primary key default gen_random_uuid(), title text);
create table public."RoomMember" ("roomId" uuid not null references public."Room" on delete cascade, "userId" uuid not null references public."User", "leftAt" timestamp(3), primary key ("roomId", "userId"));
create table public."Message" (id uuid primary key default gen_random_uuid(), "roomId" uuid not null references public."Room" on delete cascade, "senderId" uuid not null references public."User", content text not null, "createdAt" timestamp(3) not null default current_timestamp);
create table public."MessageReaction" (id uuid primary key default gen_random_uuid(), "messageId" uuid not null references public."Message" on delete cascade, "userId" uuid not null references public."User", emoji text not null);
create table public."DirectMessage" (id uuid primary key default gen_random_uuid(), "senderId" uuid references public."User", "receiverId" uuid references public."User", body text);
create table public."MessageHistory" (id uuid primary key default gen_random_uuid(), "messageId" uuid not null, "oldContent" text, "editedAt" timestamp(3));
create publication supabase_realtime for all tables;
