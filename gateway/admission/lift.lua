-- Take back a tombstone that was told to nobody; one of another name stays.
--
-- KEYS  1 balance copy
-- ARGV  1 name of the tombstone
-- Answers 1 when it was there.

local had = redis.call('HMGET', KEYS[1], 'tomb', 'was')
if had[1] ~= ARGV[1] then return 0 end
if had[2] and had[2] ~= '' then
  redis.call('HSET', KEYS[1], 'status', had[2])
  redis.call('HDEL', KEYS[1], 'tomb', 'was')
else
  -- Nothing was known of the key: it is loaded again.
  redis.call('DEL', KEYS[1])
end
return 1
