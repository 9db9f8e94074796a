-- What a subject has left. Writes nothing.
--
-- KEYS  1 holds  2 balance copy  then per product: request window, token window
-- ARGV  1 clock in us (0: the server's), then per product: its name, six limits (limits.lua)
-- Without products all open requests are counted, else those of the products.
-- Answers version (-1: no copy), trial, paid, status, tier, held tokens, open requests,
--       then per product: limit, remaining and reset ms of requests, the same of tokens
--       (limit -1: none), open requests.

local time = clock(ARGV[1])
local copy = redis.call('HMGET', KEYS[2], 'version', 'trial', 'paid', 'status', 'tier')
local out = { tonumber(copy[1] or -1), tonumber(copy[2] or 0), tonumber(copy[3] or 0),
  copy[4] or '', copy[5] or '', tonumber(redis.call('HGET', KEYS[1], '#held') or 0), 0 }

local function side(w, limit)
  out[#out + 1] = limit
  out[#out + 1] = math.max(0, limit - w.sum)
  out[#out + 1] = reset_ms(w)
end

if #ARGV == 1 then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    if string.sub(field, 1, 6) == '#open:' then
      out[7] = out[7] + tonumber(redis.call('HGET', KEYS[1], field))
    end
  end
end

for i = 2, #ARGV, 7 do
  local product = ARGV[i]
  local at = 3 + 2 * (i - 2) / 7
  local own = redis.call('HGET', KEYS[2], 'l:' .. product)
  local rpm, tpm = pick_limits(i + 1, copy[5], own)
  side(look(KEYS[at], time), rpm)
  if tpm then
    side(look(KEYS[at + 1], time), tpm)
  else
    out[#out + 1], out[#out + 2], out[#out + 3] = -1, 0, 0
  end
  local open = tonumber(redis.call('HGET', KEYS[1], '#open:' .. product) or 0)
  out[#out + 1] = open
  out[7] = out[7] + open
end
return out
