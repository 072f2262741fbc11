-- Roles are of the whole server and builds run side by side: whoever comes second finds them there.
do $$
declare
    role_name text;
begin
    foreach role_name in array array[
        'zoo_owner', 'zoo reader', 'zoo_writer', 'zoo "o''brien', E'zoo_röle.%s $1\nline', 'ZOO_Group'
    ] loop
        begin
            execute format('create role %I nologin', role_name);
            execute format('comment on role %I is %L', role_name, 'of the zoo: ' || role_name);
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
end
$$;

-- A second build that finds the membership leaves it alone: two grants at once fail with "tuple concurrently updated".
do $$
begin
    if not pg_has_role('zoo_writer', 'ZOO_Group', 'member') then
        grant "ZOO_Group" to zoo_writer with admin false, inherit true, set true;
    end if;
exception when unique_violation or internal_error then
    null;
end
$$;
