-- Take back a tombstone that was told to nobody; those of other names stay. What buries under this
-- name comes too late from now on: it was written on a connection that was given up.
--
-- KEYS  1 balance copy  2 mark that this name is void
-- ARGV  1 name of the tombstone  2 ms that the mark lives
-- Answers 1 when it was there.

redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
local had = redis.call('HMGET', KEYS[1], 'tomb', 'was')
local others, found = {}, false
for name in string.gmatch(had[1] or '', '%S+') do
  if name == ARGV[1] then found = true else others[#others + 1] = name end
end
if not found then return 0 end
if #others > 0 then
  redis.call('HSET', KEYS[1], 'tomb', table.concat(others, ' '))
elseif had[2] and had[2] ~= '' then
  redis.call('HSET', KEYS[1], 'status', had[2])
  redis.call('HDEL', KEYS[1], 'tomb', 'was')
else
  -- Nothing was known of the key: it is loaded again.
  redis.call('DEL', KEYS[1])
end
return 1
