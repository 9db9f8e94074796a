-- Hold more for a request that runs, or say why not: all of it or nothing.
--
-- KEYS  1 holds  2 balance copy
-- ARGV  1 request id  2 tokens to be held for it in all; who has them already is granted
-- Answers code, tokens held for it now, what is free of the balance beside all holds.

local GRANTED, GONE, NOT_LOADED, REVOKED, SUSPENDED, TOO_LOW = 0, 1, 2, 3, 4, 5

local packed = redis.call('HGET', KEYS[1], ARGV[1])
if not packed then return { GONE, 0, 0 } end
local hold, tpm, entry, deadline_ms, number, product, instance, ended, mark = read_hold(packed)
if ended then return { GONE, hold, 0 } end

local copy = redis.call('HMGET', KEYS[2], 'version', 'trial', 'paid', 'status')
if not copy[1] then return { NOT_LOADED, hold, 0 } end
if copy[4] == 'revoked' then return { REVOKED, hold, 0 } end
if copy[4] ~= 'active' then return { SUSPENDED, hold, 0 } end

local free = copy[2] + copy[3] - (redis.call('HGET', KEYS[1], '#held') or 0)
local more = tonumber(ARGV[2]) - hold
if more <= 0 then return { GRANTED, hold, math.max(0, free) } end
if free < more then return { TOO_LOW, hold, math.max(0, free) } end

add_held(KEYS[1], more)
redis.call('HSET', KEYS[1], ARGV[1],
  pack_hold(hold + more, tpm, entry, deadline_ms, number, product, instance) .. mark)
return { GRANTED, hold + more, free - more }
