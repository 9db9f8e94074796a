-- Admitted: nothing has been written above (decide.lua), everything is written below.

-- A hold outlives its deadline by at least this: the reaper comes long before.
local GRACE_MS = 86400000

record(requests, 1, d)
local entry = tokens and record(tokens, tpm_cost, d) or 0
local deadline_ms = tonumber(ARGV[14])
local packed = pack_hold(hold, tokens and tpm_cost or 0, entry, deadline_ms, tonumber(ARGV[13]),
  product, ARGV[11])
local held_now = string.format('%.0f', (held[2] or 0) + hold)
local open_now = (held[3] or 0) + 1
if tonumber(held[4] or 0) < deadline_ms + GRACE_MS then
  -- Set for twice the grace, so that the next requests find it long enough.
  redis.call('HSET', KEYS[1], request_id, packed, '#held', held_now, open_field, open_now,
    '#until', deadline_ms + 2 * GRACE_MS)
  redis.call('PEXPIRE', KEYS[1],
    math.max(0, deadline_ms - math.floor(time / 1000)) + 2 * GRACE_MS)
else
  redis.call('HSET', KEYS[1], request_id, packed, '#held', held_now, open_field, open_now)
end
redis.call('ZADD', KEYS[2], ARGV[14], ARGV[11] .. ' ' .. string.sub(KEYS[1], 9) .. ' ' .. request_id)
return answer(ADMITTED, 0, available - hold)
