-- What holds an operation that changes production: a lease, the stop order, a journal, a plan, approvals. Every row is written by a
-- function of the owner, so that the rules hold whoever calls. PostgreSQL 14 or newer.

grant usage on schema ops to ops_runner, ops_approver;

-- --- leases ---------------------------------------------------------------------------------------------------------------

-- What somebody who wants one mode of a resource does while another mode of it is held; a pair that is missing is `no`.
create table ops.lease_rule (
    wanted text,
    held   text,
    rule   text not null check (rule in ('ok', 'wait', 'no', 'takes over', 'own only')),
    primary key (wanted, held)
);

insert into ops.lease_rule (wanted, held, rule)
select wanted, held, rule
from (values
    ('backup',              array['no', 'ok', 'wait', 'wait', 'no', 'ok', 'wait', 'own only', 'ok', 'wait']),
    ('verify',              array['ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok', 'wait']),
    ('maintenance',         array['wait', 'ok', 'no', 'wait', 'no', 'ok', 'wait', 'no', 'ok', 'ok']),
    ('cleanup',             array['wait', 'ok', 'wait', 'no', 'no', 'ok', 'wait', 'no', 'ok', 'ok']),
    ('restore',             array['wait', 'ok', 'takes over', 'takes over', 'no', 'ok', 'no', 'takes over', 'no', 'wait']),
    ('config backup',       array['ok', 'ok', 'ok', 'ok', 'ok', 'no', 'wait', 'ok', 'ok', 'wait']),
    ('config restore',      array['wait', 'ok', 'ok', 'ok', 'no', 'wait', 'no', 'takes over', 'ok', 'wait']),
    ('planned maintenance', array['wait', 'ok', 'no', 'no', 'no', 'ok', 'no', 'no', 'ok', 'ok']),
    ('cache',               array['ok', 'ok', 'ok', 'ok', 'no', 'ok', 'ok', 'ok', 'no', 'ok']),
    ('retention',           array['wait', 'wait', 'ok', 'ok', 'no', 'wait', 'no', 'ok', 'ok', 'no'])
) as row_of (wanted, rules),
unnest(
    array['backup', 'verify', 'maintenance', 'cleanup', 'restore', 'config backup', 'config restore', 'planned maintenance', 'cache',
        'retention'],
    rules
) as cell (held, rule);

create sequence ops.fencing_token as bigint;

create table ops.lease (
    resource    text not null check (resource <> ''),
    mode        text not null,
    op_id       uuid not null,
    parent_op   uuid,
    holder      text not null check (holder <> ''),
    token       bigint not null default nextval('ops.fencing_token'),
    acquired_at timestamptz not null default clock_timestamp(),
    renewed_at  timestamptz not null default clock_timestamp(),
    expires_at  timestamptz not null,
    primary key (resource, op_id)
);

create table ops.stop_order (
    id         bigint generated always as identity primary key,
    reason     text not null check (trim(reason) <> ''),
    ordered_by text not null check (ordered_by <> ''),
    ordered_at timestamptz not null default clock_timestamp(),
    lifted_by  text,
    lifted_at  timestamptz
);

create function ops.stopped() returns text
    language sql stable security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    select format('%s (%s, %s UTC)', reason, ordered_by, to_char(ordered_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'))
    from ops.stop_order where lifted_at is null order by id limit 1;
end;

create function ops.order_stop(why text, who text) returns void
    language sql security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    insert into ops.stop_order (reason, ordered_by) values (why, who);
end;

create function ops.lift_stop(who text) returns integer
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    lifted integer;
begin
    update ops.stop_order set lifted_by = who, lifted_at = clock_timestamp() where lifted_at is null;
    get diagnostics lifted = row_count;
    return lifted;
end;
$$;

-- Grants a lease, or says by whom it is held: the token of the caller's own lease, or one row for each lease in its way with the rule
-- that applies to it. A lease of the caller's own operation is given a new token, so that an earlier process of it is fenced off.
create function ops.acquire_lease(
    wanted_resource text, wanted_mode text, wanted_op uuid, wanted_parent uuid, wanted_holder text, seconds double precision,
    out token bigint, out rule text, out mode text, out op_id uuid, out holder text, out expires_at timestamptz
) returns setof record
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    standing ops.lease;
begin
    if not exists (select from ops.lease_rule where wanted = wanted_mode) then
        raise invalid_parameter_value using message = format('there is no lease mode %s', wanted_mode);
    end if;
    perform pg_advisory_xact_lock(hashtextextended('ops.lease/' || wanted_resource, 0));
    delete from ops.lease as l where l.resource = wanted_resource and l.expires_at <= clock_timestamp();
    return query
        select null::bigint, coalesce(r.rule, 'no'), l.mode, l.op_id, l.holder, l.expires_at
        from ops.lease as l
        left join ops.lease_rule as r on r.wanted = wanted_mode and r.held = l.mode
        where l.resource = wanted_resource and l.op_id <> wanted_op
          and coalesce(r.rule, 'no') not in ('ok', 'takes over')
          and not (coalesce(r.rule, 'no') = 'own only' and l.op_id is not distinct from wanted_parent);
    if found then
        return;
    end if;
    delete from ops.lease as l using ops.lease_rule as r
    where l.resource = wanted_resource and l.op_id <> wanted_op
      and r.wanted = wanted_mode and r.held = l.mode and r.rule = 'takes over';
    delete from ops.lease as l where l.resource = wanted_resource and l.op_id = wanted_op;
    insert into ops.lease (resource, mode, op_id, parent_op, holder, expires_at)
    values (wanted_resource, wanted_mode, wanted_op, wanted_parent, wanted_holder, clock_timestamp() + seconds * interval '1 s')
    returning * into standing;
    return query select standing.token, null::text, standing.mode, standing.op_id, standing.holder, standing.expires_at;
end;
$$;

-- Says whether the lease with this token still stands, and lengthens it if asked; one that has run out is not revived.
create function ops.keep_lease(held_resource text, held_op uuid, held_token bigint, seconds double precision) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    update ops.lease as l
    set renewed_at = clock_timestamp(), expires_at = greatest(l.expires_at, clock_timestamp() + seconds * interval '1 s')
    where l.resource = held_resource and l.op_id = held_op and l.token = held_token and l.expires_at > clock_timestamp();
    return found;
end;
$$;

create function ops.release_lease(held_resource text, held_op uuid, held_token bigint) returns boolean
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
begin
    delete from ops.lease as l where l.resource = held_resource and l.op_id = held_op and l.token = held_token;
    return found;
end;
$$;

-- Removes the leases that ran out, whose holders are dead or asleep, and returns what they were.
create function ops.reap_leases(out resource text, out mode text, out op_id uuid, out holder text, out expires_at timestamptz)
    returns setof record
    language sql security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    delete from ops.lease as l where l.expires_at <= clock_timestamp()
    returning l.resource, l.mode, l.op_id, l.holder, l.expires_at;
end;

-- --- journal --------------------------------------------------------------------------------------------------------------

create table ops.journal (
    id     bigint generated always as identity primary key,
    op_id  uuid not null,
    step   text not null check (step <> ''),
    phase  text not null check (phase in ('intent', 'outcome')),
    token  bigint,
    by     text not null,
    detail jsonb not null default '{}',
    at     timestamptz not null default clock_timestamp()
);
create index journal_by_operation on ops.journal (op_id, id);
create trigger journal_is_append_only before update or delete or truncate on ops.journal
    for each statement execute function ops.refuse_change();

-- A token that was overtaken by a newer one of the same operation writes nothing more.
create function ops.write_journal(
    of_op uuid, of_step text, of_phase text, of_token bigint, written_by text, what jsonb
) returns bigint
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    written bigint;
begin
    perform pg_advisory_xact_lock(hashtextextended('ops.journal/' || of_op, 0));
    if exists (select from ops.journal as j where j.op_id = of_op and j.token > coalesce(of_token, 0)) then
        raise object_not_in_prerequisite_state using message = format('operation %s goes on in a newer process', of_op);
    end if;
    insert into ops.journal (op_id, step, phase, token, by, detail)
    values (of_op, of_step, of_phase, of_token, written_by, coalesce(what, '{}')) returning id into written;
    return written;
end;
$$;

-- --- plans and approvals --------------------------------------------------------------------------------------------------

create table ops.plan (
    id           bigint generated always as identity primary key,
    op_id        uuid not null,
    kind         text not null check (kind <> ''),
    target       text not null check (target <> ''),
    requester    text,
    people       integer not null check (people between 1 and 5),
    summary      text not null check (summary <> ''),
    content      jsonb not null,
    hash         text not null check (hash ~ '^[0-9a-f]{64}$'),
    code_version text not null,
    made_at      timestamptz not null default clock_timestamp()
);
comment on column ops.plan.people is 'how many different people must stand behind it, the requester counted';
create index plan_by_operation on ops.plan (op_id, id);
create trigger plan_is_append_only before update or delete or truncate on ops.plan
    for each statement execute function ops.refuse_change();

create table ops.approval (
    id          bigint generated always as identity primary key,
    plan_id     bigint not null references ops.plan,
    person      text not null check (person <> ''),
    reason      text not null check (length(trim(reason)) >= 10),
    break_glass boolean not null default false,
    answered_at timestamptz not null,
    at          timestamptz not null default clock_timestamp()
);
create index approval_by_plan on ops.approval (plan_id);
create trigger approval_is_append_only before update or delete or truncate on ops.approval
    for each statement execute function ops.refuse_change();

create table ops.plan_use (
    plan_id bigint primary key references ops.plan,
    used_by text not null,
    used_at timestamptz not null default clock_timestamp()
);
create trigger plan_use_is_append_only before update or delete or truncate on ops.plan_use
    for each statement execute function ops.refuse_change();

create function ops.store_plan(
    of_op uuid, of_kind text, of_target text, asked_by text, people_needed integer, said text, what jsonb, what_hash text, code text
) returns bigint
    language sql security definer
    set search_path = pg_catalog, pg_temp
begin atomic
    insert into ops.plan (op_id, kind, target, requester, people, summary, content, hash, code_version)
    values (of_op, of_kind, of_target, nullif(asked_by, ''), people_needed, said, what, what_hash, code) returning id;
end;

-- Records an answer; says why not, or nothing. A person who breaks the glass stands alone and names the target by hand.
create function ops.approve_plan(
    of_plan bigint, by_person text, why text, at_time timestamptz, alone boolean, typed_target text
) returns text
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    asked ops.plan;
begin
    select * into asked from ops.plan as p where p.id = of_plan;
    if asked.id is null then
        return format('there is no plan %s', of_plan);
    elsif length(trim(coalesce(why, ''))) < 10 then
        return 'a reason of at least ten characters is needed';
    elsif not alone and by_person is not distinct from asked.requester then
        return format('%s asked for it and cannot approve it', by_person);
    elsif alone and by_person is distinct from asked.requester then
        return format('only %s, who asked for it, can break the glass', coalesce(asked.requester, 'a person whom Airflow knows'));
    elsif alone and typed_target is distinct from asked.target then
        return format('to break the glass the target must be typed by hand: %s', asked.target);
    elsif at_time > clock_timestamp() + interval '1 min' or at_time < clock_timestamp() - interval '30 min' then
        return 'the answer is older than 30 minutes, or of the future';
    elsif at_time < asked.made_at - interval '5 s' then
        return 'the answer is older than the plan';
    elsif at_time > asked.made_at + interval '35 min' then  -- five of them for the way from the plan to the question
        return 'the plan is older than half an hour';
    end if;
    insert into ops.approval (plan_id, person, reason, break_glass, answered_at)
    values (of_plan, by_person, why, alone, at_time);
    return null;
end;
$$;

-- Marks a plan used, once; says why it must not be, or nothing. Approvals count for half an hour, and only for the newest plan.
create function ops.use_plan(of_plan bigint, with_hash text, by_whom text) returns text
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
as $$
declare
    asked  ops.plan;
    people integer;
    alone  boolean;
begin
    select * into asked from ops.plan as p where p.id = of_plan;
    if asked.id is null then
        return format('there is no plan %s', of_plan);
    end if;
    perform pg_advisory_xact_lock(hashtextextended('ops.plan/' || asked.op_id, 0));
    if exists (select from ops.plan as p where p.op_id = asked.op_id and p.id > asked.id) then
        return 'a newer plan of the same operation exists, and it was not approved';
    elsif exists (select from ops.plan_use as u join ops.plan as p on p.id = u.plan_id where p.op_id = asked.op_id) then
        return 'a plan of this operation was used already';
    elsif asked.hash is distinct from with_hash then
        return format('what would be done now is not what was planned (%s, now %s)', left(asked.hash, 12), left(with_hash, 12));
    end if;
    select count(distinct a.person) filter (where a.person is distinct from asked.requester), coalesce(bool_or(a.break_glass), false)
    into people, alone
    from ops.approval as a where a.plan_id = of_plan and a.answered_at >= clock_timestamp() - interval '30 min';
    if not alone and people + (asked.requester is not null)::integer < asked.people then
        return format(
            '%s of %s people stand behind it%s', people + (asked.requester is not null)::integer, asked.people,
            case when people = 0 then ', and nobody approved it within 30 minutes' else '' end
        );
    end if;
    insert into ops.plan_use (plan_id, used_by) values (of_plan, by_whom);
    return null;
end;
$$;

-- --- rights ---------------------------------------------------------------------------------------------------------------

revoke all on all functions in schema ops from public;
grant execute on function
    ops.acquire_lease(text, text, uuid, uuid, text, double precision), ops.keep_lease(text, uuid, bigint, double precision),
    ops.release_lease(text, uuid, bigint), ops.reap_leases(), ops.stopped(), ops.write_journal(uuid, text, text, bigint, text, jsonb),
    ops.store_plan(uuid, text, text, text, integer, text, jsonb, text, text), ops.use_plan(bigint, text, text),
    ops.order_stop(text, text), ops.lift_stop(text)
    to ops_runner;
grant execute on function ops.approve_plan(bigint, text, text, timestamptz, boolean, text), ops.stopped() to ops_approver;
grant select on ops.lease, ops.lease_rule, ops.stop_order, ops.journal, ops.plan, ops.approval, ops.plan_use
    to ops_runner, ops_evidence_reader;
grant select on ops.plan, ops.approval, ops.plan_use to ops_approver;
