-- A throw of the dice that always falls the same way for the same thing and side: 0 <= dice < 1. So a row depends on its own
-- moment alone, not on when or in how many pieces the history was written.
create function pg_temp.dice(thing bigint, side integer) returns double precision language sql immutable
    return (hashint8extended(thing, side) & 4503599627370495)::double precision / 4503599627370496;
create temporary table week_shape (slot bigint primary key, load double precision not null) on commit drop;
