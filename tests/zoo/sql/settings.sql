-- Settings of the database and of roles in it. They change how values read as text here, and not where a dump is restored:
-- whoever compares the two by text must set them.
do $$
declare
    setting text;
begin
    foreach setting in array array[
        'work_mem = ''5MB''', 'datestyle = ''German, DMY''', 'intervalstyle = sql_standard', 'timezone = ''Asia/Kolkata''', 'extra_float_digits = 0',
        'bytea_output = escape', 'xmloption = document', 'search_path = "$user", zoo, "Zoo", public', 'default_toast_compression = lz4',
        'default_statistics_target = 50', 'zoo.custom = ''it''''s "odd" %s'''
    ] loop
        execute format('alter database %I set %s', current_database(), setting);
    end loop;
    execute format('alter role "zoo reader" in database %I set statement_timeout = ''7s''', current_database());
    execute format('alter role "zoo reader" in database %I set search_path = "select", zoo', current_database());
    execute format('alter role "zoo ""o''brien" in database %I set work_mem = ''9MB''', current_database());
end
$$;
