-- Put back the hold of a request that still runs, where Redis has lost it or was never told; no limit
-- is looked at, as it was admitted before. Its windows stay as they are: that is the premise of the
-- window (docs). A hold that has grown meanwhile is raised, one that is decided is left alone.
--
-- KEYS  1 holds  2 deadlines of the tag
-- ARGV  1 clock in us (0: the server's)  2 request id  3 hold  4 deadline ms  5 admission number
--       6 product  7 instance
-- Answers 1 when it was put back, 0 when it was there.

local GRACE_MS = 86400000

local hold = tonumber(ARGV[3])
local packed = redis.call('HGET', KEYS[1], ARGV[2])
if packed then
  local held, tpm, entry, until_ms, number, product, instance, ended, mark = read_hold(packed)
  if not ended and held < hold then
    add_held(KEYS[1], hold - held)
    redis.call('HSET', KEYS[1], ARGV[2],
      pack_hold(hold, tpm, entry, until_ms, number, product, instance) .. (mark or ''))
  end
  return 0
end
local time, deadline_ms = clock(ARGV[1]), tonumber(ARGV[4])
local keep_until = math.max(tonumber(redis.call('HGET', KEYS[1], '#until') or 0),
  deadline_ms + 2 * GRACE_MS)
redis.call('HSET', KEYS[1], ARGV[2],
  pack_hold(hold, 0, 0, deadline_ms, tonumber(ARGV[5]), ARGV[6], ARGV[7]), '#until', keep_until)
redis.call('HINCRBY', KEYS[1], '#held', ARGV[3])
redis.call('HINCRBY', KEYS[1], '#open:' .. ARGV[6], 1)
redis.call('PEXPIRE', KEYS[1], math.max(0, keep_until - math.floor(time / 1000)))
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[7] .. ' ' .. string.sub(KEYS[1], 9) .. ' ' .. ARGV[2])
return 1
