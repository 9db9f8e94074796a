-- ------------------------------------------------------------------ classifiers

-- What a few-shot classifier has learned. No sample is kept: `weights` are the decision (per label
-- one row of dimension_count + 1 float32, the last is the bias), `statistics` the sums that the
-- next update adds to. `version` +1 per update: who writes says which version was read.
-- The gateway vouches for `owner_key`, so no foreign key: the service may stand elsewhere.
create table classifier (
    classifier_id uuid primary key,
    owner_key bigint not null check (owner_key > 0),
    version bigint not null default 1 check (version > 0),
    access text not null check (access in ('private', 'public')),
    model text not null check (model <> ''),
    dimension_count integer not null check (dimension_count between 1 and 16384),
    labels text[] not null check (cardinality(labels) between 2 and 16),
    weights bytea not null,
    statistics bytea not null,
    updated_number bigint not null default 0 check (updated_number >= 0),
    used_number bigint not null default 0 check (used_number >= 0),
    created_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    used_at timestamptz,
    constraint classifier_weights_fit
        check (octet_length(weights) = 4 * cardinality(labels) * (dimension_count + 1))
);
-- Floats do not compress; trying costs time at every update.
alter table classifier alter column weights set storage external;
alter table classifier alter column statistics set storage external;
create index classifier_of_owner on classifier (owner_key, created_at);

-- A new classifier; false when the owner has `p_most` already. Two at once take turns.
create function create_classifier(
    p_classifier_id uuid, p_owner_key bigint, p_access text, p_model text, p_dimension_count integer,
    p_labels text[], p_weights bytea, p_statistics bytea, p_most integer
) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('classifier', p_owner_key));
    if (select count(*) from classifier where owner_key = p_owner_key) >= p_most then
        return false;
    end if;
    insert into classifier (classifier_id, owner_key, access, model, dimension_count, labels,
        weights, statistics)
    values (p_classifier_id, p_owner_key, p_access, p_model, p_dimension_count, p_labels,
        p_weights, p_statistics);
    return true;
end $$;

-- What an update learned, if the version that it read still stands: DONE, CHANGED or GONE.
create function update_classifier(
    p_classifier_id uuid, p_owner_key bigint, p_version bigint,
    p_labels text[], p_weights bytea, p_statistics bytea
) returns text
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    v_version bigint;
begin
    select version into v_version from classifier
    where classifier_id = p_classifier_id and owner_key = p_owner_key for update;
    if not found then
        return 'GONE';
    end if;
    if v_version <> p_version then
        return 'CHANGED';
    end if;
    update classifier set version = version + 1, labels = p_labels, weights = p_weights,
        statistics = p_statistics, updated_number = updated_number + 1,
        updated_at = clock_timestamp()
    where classifier_id = p_classifier_id;
    return 'DONE';
end $$;

-- What `p_caller_key` may classify with: his own, or a public one whose owner's key is not revoked.
-- The weights are null when the caller has those of this version already.
create function usable_classifier(p_classifier_id uuid, p_caller_key bigint, p_version bigint)
returns table (version bigint, model text, dimension_count integer, labels text[], weights bytea)
language sql stable security definer set search_path = public, pg_temp as $$
    select c.version, c.model, c.dimension_count, c.labels,
        case when c.version is distinct from p_version then c.weights end
    from classifier c
    where c.classifier_id = p_classifier_id and (
        c.owner_key = p_caller_key
        or c.access = 'public' and not exists (
            select from key_balance b where b.key_id = c.owner_key and b.status = 'revoked'))
$$;

-- Uses since the last call, of many classifiers at once; those that are gone are passed over.
create function count_classifier_uses(p_ids uuid[], p_uses bigint[], p_last timestamptz[])
returns void
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    perform from classifier where classifier_id = any (p_ids) order by classifier_id for update;
    update classifier c set used_number = used_number + u.uses,
        used_at = greatest(c.used_at, u.last)
    from unnest(p_ids, p_uses, p_last) as u (id, uses, last) where c.classifier_id = u.id;
end $$;

-- Whether there was one of this owner to delete.
create function delete_classifier(p_classifier_id uuid, p_owner_key bigint) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from classifier where classifier_id = p_classifier_id and owner_key = p_owner_key;
    return found;
end $$;

-- The service's own role: it reads classifiers and changes them by these functions, and sees
-- nothing of the books.
do $$ begin
    create role sluice_classifier nologin;
exception when duplicate_object or unique_violation then
    null; -- roles belong to the server: another database made it
end $$;
do $$ begin
    execute format('grant sluice_classifier to %I', current_user);
exception when others then
    raise notice 'sluice_classifier could not be granted: %', sqlerrm;
end $$;
revoke all on classifier from public;
revoke execute on function
    create_classifier(uuid, bigint, text, text, integer, text[], bytea, bytea, integer),
    update_classifier(uuid, bigint, bigint, text[], bytea, bytea),
    usable_classifier(uuid, bigint, bigint),
    count_classifier_uses(uuid[], bigint[], timestamptz[]), delete_classifier(uuid, bigint)
from public;
grant usage on schema public to sluice_classifier;
grant select on classifier to sluice_classifier;
grant execute on function
    create_classifier(uuid, bigint, text, text, integer, text[], bytea, bytea, integer),
    update_classifier(uuid, bigint, bigint, text[], bytea, bytea),
    usable_classifier(uuid, bigint, bigint),
    count_classifier_uses(uuid[], bigint[], timestamptz[]), delete_classifier(uuid, bigint)
to sluice_classifier;
