-- create_classifier: what was learned becomes a classifier, unless its owner has enough of them
select create_classifier($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- count_classifiers: how many the owner has
select count(*) from classifier where owner_key = $1;

-- load_classifier: all that the next update of an owner's classifier begins with
select version, model, dimension_count, labels, statistics
from classifier where classifier_id = $1 and owner_key = $2;

-- update_classifier: what an update learned, if the version that it read still stands
select update_classifier($1, $2, $3, $4, $5, $6);

-- find_usable_classifier: what a caller may classify with; no weights if he has this version
select * from usable_classifier($1, $2, $3);

-- list_classifiers: an owner's classifiers as he sees them, oldest first
select classifier_id, model, labels, access, updated_number, used_number, created_at, updated_at,
    used_at
from classifier where owner_key = $1 order by created_at, classifier_id;

-- view_classifier: one classifier as its owner sees it
select classifier_id, model, labels, access, updated_number, used_number, created_at, updated_at,
    used_at
from classifier where classifier_id = $1 and owner_key = $2;

-- count_classifier_uses: uses since the last call, of many classifiers at once
select count_classifier_uses($1, $2, $3);

-- delete_classifier: forgets one for ever; whether it was there
select delete_classifier($1, $2);
