-- A shadow: limits that are only tried. Among the requests that the limits in force admit it says
-- which ones it would have refused, in windows of its own, where what it would have refused does
-- not count. It never refuses, and nothing that goes wrong in here reaches the decision: it is
-- called behind pcall.
--
-- Beside the windows r: and t: of the subject and product, behind the same tag and so in the same
-- slot, lie R: and T:. The holds have `#shadow:<product>`, the requests that would be open. The
-- hold of what it counts is marked ` x<tpm cost>.<entry>.<1: it takes a place>`.
--
-- Answers by bits what was looked at (1 rpm, 2 tpm, 4 concurrency) and in 8s what refuses (8 rpm,
-- 16 tpm, 24 concurrency), and the mark of the hold.

local function shadow_key(window, letter)
  return string.sub(window, 1, 6) .. letter .. string.sub(window, 8)
end

-- The limits of the shadow: `six` as rpm, tpm, concurrency (-: none) of the tier "key", then of
-- "premium"; each one overridden by the key's own, which follow its limits.
local function pick_shadow(six, tier, own)
  local rpm, tpm, open
  local a, b, c, e, f, g = string.match(six, ' (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)$')
  if tier == 'premium' then a, b, c = e, f, g end
  rpm, tpm, open = tonumber(a), tonumber(b), tonumber(c)
  if own then
    local r, t, o = string.match(own, '^%S+ %S+ %S+ (%S+) (%S+) (%S+)$')
    rpm, tpm, open = tonumber(r) or rpm, tonumber(t) or tpm, tonumber(o) or open
  end
  return rpm, tpm, open
end

local function would_refuse(requests, tokens, cost, open_now, rpm, tpm, open)
  if rpm == 0 then return 8 end
  if tpm == 0 and cost > 0 then return 16 end
  if open == 0 then return 24 end
  local wait_requests = requests and wait_us(requests, 1, rpm) or 0
  local wait_tokens = tokens and wait_us(tokens, math.min(cost, tpm), tpm) or 0
  if wait_tokens > wait_requests then return 16 end
  if wait_requests > 0 then return 8 end
  if open and open_now >= open then return 24 end
  return 0
end

local function shadow(holds, window, product, time, d, cost, rpm, tpm, open)
  local looked = (rpm and 1 or 0) + (tpm and 2 or 0) + (open and 4 or 0)
  if looked == 0 then return 0, '' end
  local requests = rpm and look(shadow_key(window, 'R'), time)
  local tokens = tpm and look(shadow_key(window, 'T'), time)
  local open_field = '#shadow:' .. product
  local open_now = open and tonumber(redis.call('HGET', holds, open_field) or 0)
  local refused = would_refuse(requests, tokens, cost, open_now, rpm, tpm, open)
  if refused > 0 then return looked + refused, '' end
  if requests then record(requests, 1, d) end
  local counted, entry = 0, 0
  if tokens then
    counted = math.min(cost, tpm)
    entry = record(tokens, counted, d)
  end
  if open then redis.call('HINCRBY', holds, open_field, 1) end
  if not tokens and not open then return looked, '' end
  return looked, string.format(' x%.0f.%.0f.%d', counted, entry, open and 1 or 0)
end

-- The marked request is over: its place is free, and its window counts `actual` (-1: unchanged).
local function leave_shadow(holds, window, product, mark, actual)
  local counted, entry, place = string.match(mark, '^ x(%d+)%.(%d+)%.(%d)$')
  if place == '1' then
    local field = '#shadow:' .. product
    if redis.call('HINCRBY', holds, field, -1) <= 0 then redis.call('HDEL', holds, field) end
  end
  local n = tonumber(entry)
  if n > 0 and actual >= 0 and actual ~= tonumber(counted) then
    pcall(amend, shadow_key(window, 'T'), n, actual - tonumber(counted))
  end
end

-- A request that is held was decided: its window counts `actual` (-1: stays as it is), its place
-- is free, and until it is settled it holds only what it costs. Repeats change nothing.
local function decided(holds, window, request_id, actual, cost)
  local packed = redis.call('HGET', holds, request_id)
  if not packed then return 0 end
  local hold, tpm, entry, deadline_ms, number, product, instance, ended, mark = read_hold(packed)
  if #mark > 1 then leave_shadow(holds, window, product, mark, actual) end
  if entry == 0 or actual < 0 then actual = tpm end
  if ended and tpm == actual and hold == cost then return 0 end
  if tpm ~= actual then amend(window, entry, actual - tpm) end
  add_held(holds, cost - hold)
  if not ended then free_place(holds, product) end
  redis.call('HSET', holds, request_id,
    pack_hold(cost, actual, entry, deadline_ms, number, product, instance) .. ' d')
  return 1
end
