-- The record of a hold that the tag's deadlines name; a name without a hold is taken out.
--
-- KEYS  1 holds  2 deadlines of the tag
-- ARGV  1 request id  2 member of the deadlines
-- Answers the hold's record, or false.

local packed = redis.call('HGET', KEYS[1], ARGV[1])
if not packed then redis.call('ZREM', KEYS[2], ARGV[2]) end
return packed
