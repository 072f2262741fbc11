-- People whose accounts are some days to two years old at %(now)s; a few have been closed since.
with person as (
    select n, %(now)s::timestamptz - (20 + 700 * pg_temp.dice(n, 11)) * interval '1 day' as created_at
    from generate_series(1, 400) n
)
insert into users (email, role, created_at, last_login_at, disabled_at)
select
    lower(first_name || '.' || last_name) || n || '@' || company || '.example',
    case when n <= 6 then 'admin' when pg_temp.dice(n, 12) < 0.8 then 'member' else 'viewer' end,
    created_at,
    %(now)s::timestamptz - 60 * pg_temp.dice(n, 13) ^ 4 * interval '1 day',
    case when n > 6 and pg_temp.dice(n, 14) < 0.05 then %(now)s::timestamptz - 20 * pg_temp.dice(n, 15) * interval '1 day' end
from person,
    lateral (select (array['Ada', 'Boris', 'Chiara', 'Dmitri', 'Elif', 'Farid', 'Greta', 'Hugo', 'Ines', 'Jonas', 'Kaja', 'Lena',
                           'Marek', 'Nadia', 'Olga', 'Pablo', 'Quentin', 'Rosa', 'Sven', 'Tomas'])[1 + n %% 20] as first_name,
                    (array['Adler', 'Brandt', 'Costa', 'Dubois', 'Eriksen', 'Fischer', 'Garcia', 'Horvat', 'Ivanov', 'Jensen',
                           'Kowalski', 'Lindgren', 'Moreau', 'Novak', 'OBrien', 'Petrov', 'Rossi', 'Silva', 'Toth'])[1 + n %% 19]
                    as last_name,
                    (array['acme', 'globex', 'initech', 'umbrella', 'hooli', 'stark'])[1 + n %% 6] as company) named
order by n;
