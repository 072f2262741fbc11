-- Fix everything by which two sessions could write the same value differently, and read past row security or fail.
select set_config(name, value, false) from (values
    ('search_path', ''), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('timezone', 'UTC'), ('extra_float_digits', '1'),
    ('bytea_output', 'hex'), ('xmloption', 'content'), ('xmlbinary', 'base64'), ('lc_monetary', 'C'), ('row_security', 'off'),
    ('quote_all_identifiers', 'off'), ('client_encoding', 'UTF8'), ('array_nulls', 'on'), ('gin_fuzzy_search_limit', '0'),
    ('max_parallel_workers_per_gather', '0'), ('jit', 'off'), ('synchronize_seqscans', 'off'), ('default_text_search_config', 'simple')
) as setting (name, value)
