-- The coalescing log: a sliding window of 60 s that never lets more than its limit through.
--
-- One hash per (subject, product, dimension). Admissions closer than d = W / N share an entry; an
-- entry dies W after its last event. Header fields, always in front:
--   s sum of all entries        h, t  numbers of the first (head) and last (tail) entry
--   a last event of the head    f, l, c  first event, last event and count of the tail
--   o what is added to the clock so that it never runs backwards; l is the time it must not pass
-- Entries other than the tail are fields n % 256 -> count * 10^8 + last event % 10^8: an integer,
-- so that Redis keeps it in 9 bytes, and never ambiguous, as all last events lie in (l - W, l].
-- The first entry of a new hash is numbered by the time divided by d, so that no number comes
-- twice even when the hash was dropped between: a hold may name an entry for longer than it lives.
--
-- Numbers above 2^53 / 10^14 need %.0f: Lua's own conversion keeps 14 digits only.

local W = 60000000
local RING = 256
local PACK = 100000000
-- Kept a little longer than its entries live; Redis' expiry runs on another reading of the clock.
local SLACK_MS = 1000

local function clock(given)
  if given ~= '0' then return tonumber(given) end
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

-- All fields of the hash by name, and the window's last dead entry counted off. Writes nothing.
local function drop_dead(w, key)
  local flat = redis.call('HGETALL', key)
  local map, dead = {}, {}
  for i = 1, #flat, 2 do map[flat[i]] = flat[i + 1] end
  local n = w.head
  while n < w.tail do
    local field = tostring(n % RING)
    local packed = map[field]
    local last = w.last - math.fmod(w.last - tonumber(string.sub(packed, -8)), PACK)
    if last > w.now - W then
      w.head_last = last
      break
    end
    w.sum = w.sum - tonumber(string.sub(packed, 1, -9))
    dead[#dead + 1] = field
    n = n + 1
  end
  if n == w.tail then w.head_last = w.last end
  w.head, w.dead, w.map = n, dead, map
end

-- The window as it is at `time`, with what has died left out. Writes nothing.
local function look(key, time)
  local r = redis.call('HMGET', key, 's', 'h', 't', 'a', 'f', 'l', 'c', 'o')
  local w = { key = key, now = time, clock = time, sum = 0, offset = 0 }
  if not r[1] then return w end
  local last, offset = tonumber(r[6]), tonumber(r[8])
  w.exists, w.clock, w.offset = true, time + offset, offset
  w.now = w.clock
  if w.now < last then
    w.offset = offset + (last - w.now)
    w.now, w.moved = last, true
  end
  if last <= w.now - W then
    w.offset = 0
    w.clock, w.now = time, time
    return w
  end
  w.alive = true
  w.sum, w.head, w.tail = tonumber(r[1]), tonumber(r[2]), tonumber(r[3])
  w.head_last, w.first, w.last, w.count = tonumber(r[4]), tonumber(r[5]), last, tonumber(r[7])
  if w.head_last <= w.now - W then drop_dead(w, key) end
  return w
end

-- Microseconds until `cost` fits, if nothing else comes. Counted from the clock as it is, not as
-- it would be kept from running backwards: a refusal leaves no trace of the latter.
local function wait_us(w, cost, limit)
  local excess = cost - (limit - w.sum)
  if excess <= 0 then return 0 end
  if not w.map then drop_dead(w, w.key) end
  for n = w.head, w.tail - 1 do
    local packed = w.map[tostring(n % RING)]
    excess = excess - tonumber(string.sub(packed, 1, -9))
    if excess <= 0 then
      local last = w.last - math.fmod(w.last - tonumber(string.sub(packed, -8)), PACK)
      return last + W - w.clock
    end
  end
  return w.last + W - w.clock
end

local function ms_up(us)
  return math.ceil(us / 1000)
end

-- Milliseconds until the oldest entry dies; 0 for an empty window.
local function reset_ms(w)
  if not w.alive then return 0 end
  return ms_up(w.head_last + W - w.clock)
end

-- Count `cost` at the window's time; the number of the entry that has it.
local function record(w, cost, d)
  local key, now = w.key, w.now
  -- The offset is kept from here on.
  w.clock = now
  if not w.alive then
    if w.exists then redis.call('DEL', key) end
    local n = math.floor(now / d)
    redis.call('HSET', key, 's', cost, 'h', n, 't', n, 'a', now, 'f', now, 'l', now, 'c', cost,
      'o', w.offset)
    redis.call('PEXPIRE', key, math.ceil((W + d) / 1000) + SLACK_MS)
    w.sum, w.alive, w.head_last = cost, true, now
    return n
  end
  w.sum = w.sum + cost
  local joins = now - w.first < d
  local last = string.format('%.0f', now)
  if joins and w.head == w.tail then w.head_last = now end
  if w.dead and #w.dead > 0 then
    redis.call('HDEL', key, unpack(w.dead))
    redis.call('HSET', key, 'h', w.head, 'a', w.head_last)
  elseif joins and w.head == w.tail then
    redis.call('HSET', key, 'a', last)
  end
  if w.moved then redis.call('HSET', key, 'o', w.offset) end
  if joins then
    redis.call('HSET', key, 's', w.sum, 'l', last, 'c', w.count + cost)
    return w.tail
  end
  local packed = string.format('%.0f%08.0f', w.count, math.fmod(w.last, PACK))
  local n = w.tail + 1
  redis.call('HSET', key, 's', w.sum, 't', n, 'f', last, 'l', last, 'c', cost,
    tostring(w.tail % RING), packed)
  redis.call('PEXPIRE', key, math.ceil((W + d) / 1000) + SLACK_MS)
  return n
end

-- Add `delta` to entry n, if it is still there; both ways, never below zero.
local function amend(key, n, delta)
  local field = tostring(n % RING)
  local r = redis.call('HMGET', key, 's', 'h', 't', 'c', field)
  if not r[1] then return end
  local head, tail = tonumber(r[2]), tonumber(r[3])
  if n < head or n > tail then return end
  if n == tail then
    local count = math.max(0, tonumber(r[4]) + delta)
    redis.call('HSET', key, 's', tonumber(r[1]) + (count - tonumber(r[4])), 'c', count)
  else
    local before = tonumber(string.sub(r[5], 1, -9))
    local count = math.max(0, before + delta)
    redis.call('HSET', key, 's', tonumber(r[1]) + (count - before),
      field, string.format('%.0f', count) .. string.sub(r[5], -8))
  end
end

-- A hold: tokens held, TPM cost as recorded now, its entry (0: none), deadline, admission number,
-- product, instance, then ` x...` when a shadow counts it (shadow.lua), and then ` d` when the
-- request is decided and only its posting is awaited.
local function pack_hold(hold, tpm, entry, deadline_ms, number, product, instance)
  return string.format('%.0f %.0f %.0f %.0f %.0f %s %s', hold, tpm, entry, deadline_ms, number,
    product, instance)
end

local function read_hold(packed)
  local hold, tpm, entry, deadline_ms, number, product, instance, mark, state =
    string.match(packed, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+)( ?x?[%d.]*)( ?d?)$')
  return tonumber(hold), tonumber(tpm), tonumber(entry), tonumber(deadline_ms), tonumber(number),
    product, instance, state ~= '', mark
end

-- Add `delta` to what the subject's holds sum up to.
local function add_held(holds, delta)
  if delta == 0 then return end
  if redis.call('HINCRBY', holds, '#held', string.format('%.0f', delta)) <= 0 then
    redis.call('HDEL', holds, '#held')
  end
end

-- A request of the product is no longer open.
local function free_place(holds, product)
  local field = '#open:' .. product
  if redis.call('HINCRBY', holds, field, -1) <= 0 then redis.call('HDEL', holds, field) end
end
