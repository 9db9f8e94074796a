-- Admitted: nothing has been written above (decide.lua), everything is written below.

-- A hold outlives its deadline by at least this: the reaper comes long before.
local GRACE_MS = 86400000
local NO_SHADOW = '1 - - - - - -'

record(requests, 1, d)
local entry = tokens and record(tokens, tpm_cost, d) or 0
local deadline_ms = tonumber(ARGV[14])
local shadow_says, mark
if #ARGV[10] > 1 or (copy[6] and string.find(copy[6], ' %S+ %S+ %S+ ')) then
  -- Of what was asked, not of what the window in force took of it.
  local fine, says, marked = pcall(shadow, KEYS[1], KEYS[3], product, time, d, asked_tpm,
    pick_shadow(#ARGV[10] > 1 and ARGV[10] or NO_SHADOW, copy[5], copy[6]))
  if fine then shadow_says, mark = says, marked end
end
local packed = pack_hold(hold, tokens and tpm_cost or 0, entry, deadline_ms, tonumber(ARGV[13]),
  product, ARGV[11]) .. (mark or '')
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
local told = answer(ADMITTED, 0, available - hold)
if shadow_says then told[12] = shadow_says end
return told
