-- A key that was revoked while the ledger is away: refused from here on, whatever newer balance is
-- copied (settle.lua keeps the tombstone), until the ledger itself says that it is revoked.
--
-- Several may bury the same key, each under a name of his own; `tomb` has all of them.
--
-- KEYS  1 balance copy  2 mark of lift.lua
-- ARGV  1 name of the tombstone  2 ms that the copy lives
-- Answers the status that the copy had before ('' none); false: taken back before it came.

local MOST = 4000

if redis.call('EXISTS', KEYS[2]) == 1 then return false end
local had = redis.call('HMGET', KEYS[1], 'version', 'status', 'tomb')
if not had[1] then
  -- No balance is known; a row of any version may be written over this one.
  redis.call('HSET', KEYS[1], 'version', -1, 'trial', 0, 'paid', 0, 'tier', 'key')
end
if had[2] ~= 'revoked' then
  redis.call('HSET', KEYS[1], 'status', 'revoked', 'was', had[2] or '', 'tomb', ARGV[1])
elseif had[3] and #had[3] < MOST and not string.find(had[3], ARGV[1], 1, true) then
  redis.call('HSET', KEYS[1], 'tomb', had[3] .. ' ' .. ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return had[2] or ''
