-- Set paid tokens of a key aside that are about to be moved: those that no request holds. As trial
-- tokens are spent before paid ones, that is what is left of both without what is held, and at most
-- what is paid. From here on no request is admitted on them.
--
-- KEYS  1 holds  2 deadlines of the tag  3 balance copy
-- ARGV  1 clock in us (0: the server's)  2 name of the reserve  3 tokens (-1: all that may move)
--       4 ms that it lives  5 product and  6 instance that its hold is written under
-- Answers how many were set aside (-1: there is no copy), how many could be, and what is held.

local GRACE_MS = 86400000

local copy = redis.call('HMGET', KEYS[3], 'version', 'trial', 'paid')
if not copy[1] then return { -1, 0, 0 } end
local held = redis.call('HMGET', KEYS[1], ARGV[2], '#held', '#until')
local sum = tonumber(held[2] or 0)
if held[1] then return { read_hold(held[1]), 0, sum } end
local movable = math.max(0, math.min(tonumber(copy[3]), copy[2] + copy[3] - sum))
local wanted = tonumber(ARGV[3])
if wanted < 0 then wanted = movable end
if wanted < 1 or wanted > movable then return { 0, movable, sum } end

local time = clock(ARGV[1])
local deadline_ms = math.floor(time / 1000) + tonumber(ARGV[4])
local keep_until = math.max(tonumber(held[3] or 0), deadline_ms + 2 * GRACE_MS)
-- Decided already: it takes no place of a request.
redis.call('HSET', KEYS[1], ARGV[2],
  pack_hold(wanted, 0, 0, deadline_ms, 0, ARGV[5], ARGV[6]) .. ' d', '#until',
  string.format('%.0f', keep_until))
add_held(KEYS[1], wanted)
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep_until - math.floor(time / 1000)))
redis.call('ZADD', KEYS[2], string.format('%.0f', deadline_ms),
  ARGV[6] .. ' ' .. string.sub(KEYS[1], 9) .. ' ' .. ARGV[2])
return { wanted, movable, sum }
