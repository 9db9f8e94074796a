-- A key that was revoked while the ledger is away: refused from here on, whatever newer balance is
-- copied (settle.lua keeps the tombstone), until the ledger itself says that it is revoked.
--
-- KEYS  1 balance copy
-- ARGV  1 name of the tombstone  2 ms that the copy lives
-- Answers the status that the copy had before ('' none).

local had = redis.call('HMGET', KEYS[1], 'version', 'status', 'tomb')
if not had[1] then
  -- No balance is known; a row of any version may be written over this one.
  redis.call('HSET', KEYS[1], 'version', -1, 'trial', 0, 'paid', 0, 'tier', 'key')
end
if had[2] ~= 'revoked' then
  redis.call('HSET', KEYS[1], 'status', 'revoked', 'was', had[2] or '', 'tomb', ARGV[1])
elseif had[3] then
  redis.call('HSET', KEYS[1], 'tomb', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return had[2] or ''
