-- Whether one request may be admitted, and why not; a refusal returns from here and has written
-- nothing. Behind it stands admit.lua, which takes what was asked for, or judge.lua, which does not.
--
-- KEYS  1 holds  2 deadlines of the tag  3 request window  4 token window  5 balance copy
--       6.. token windows of the decided requests that ride along
-- ARGV  1 clock in us (0: the server's)  2 d in us  3 product  4-9 limits (see limits.lua)
--       10 keyed, and behind it a shadow's six limits if there is one (shadow.lua)  11 instance
--       12 request id  13 admission number  14 deadline ms  15 hold  16 TPM cost
--       17.. (request id, actual TPM cost or -1, cost) of each that rides along
-- Answers code, retry ms, limit and remaining requests, limit (-1: none) and remaining tokens,
--       remaining balance, resets of both windows in ms, clock in us, tier (0 key, 1 premium),
--       and what a shadow says of an admitted request, if there is one.

local ADMITTED, HELD, NOT_LOADED, REVOKED, SUSPENDED = 0, 1, 2, 3, 4
local NEVER, BALANCE, RPM, TPM, CONCURRENCY = 5, 6, 7, 8, 9
local CONCURRENCY_RETRY_MS = 1000

local time = clock(ARGV[1])
local d = tonumber(ARGV[2])
local product, request_id = ARGV[3], ARGV[12]
local keyed = string.byte(ARGV[10]) == 49

-- Writes of their own that travel in the same command: done whatever is decided.
for i = 17, #ARGV, 3 do
  decided(KEYS[1], KEYS[6 + (i - 17) / 3], ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]))
end

local copy = {}
if keyed then
  copy = redis.call('HMGET', KEYS[5], 'version', 'trial', 'paid', 'status', 'tier',
    'l:' .. product)
  if not copy[1] then return { NOT_LOADED, 0, 0, 0, 0, 0, 0, 0, 0, time, 0 } end
  if copy[4] == 'revoked' then return { REVOKED, 0, 0, 0, 0, 0, 0, 0, 0, time, 0 } end
  if copy[4] ~= 'active' then return { SUSPENDED, 0, 0, 0, 0, 0, 0, 0, 0, time, 0 } end
end
local tier = copy[5] == 'premium' and 1 or 0
local rpm_limit, tpm_limit, open_limit = pick_limits(4, copy[5], copy[6])

local open_field = '#open:' .. product
local held = redis.call('HMGET', KEYS[1], request_id, '#held', open_field, '#until')
local available = keyed and copy[2] + copy[3] - (held[2] or 0) or 0
local requests = look(KEYS[3], time)
local tokens = tpm_limit and look(KEYS[4], time)

local function answer(code, retry_ms, balance)
  return { code, retry_ms, rpm_limit, math.max(0, rpm_limit - requests.sum),
    tpm_limit or -1, tokens and math.max(0, tpm_limit - tokens.sum) or 0,
    math.max(0, balance), reset_ms(requests), tokens and reset_ms(tokens) or 0, time, tier }
end

if held[1] then return answer(HELD, 0, available) end
local hold = tonumber(ARGV[15])
local asked_tpm = tonumber(ARGV[16])
local tpm_cost = asked_tpm
if rpm_limit < 1 or open_limit < 1 or (tpm_limit == 0 and tpm_cost > 0) then
  return answer(NEVER, 0, available)
end
if keyed and hold > 0 and available < hold then return answer(BALANCE, 0, available) end

local wait_requests = wait_us(requests, 1, rpm_limit)
local wait_tokens = 0
if tokens then
  -- A job larger than the limit runs in an empty window.
  tpm_cost = math.min(tpm_cost, tpm_limit)
  wait_tokens = wait_us(tokens, tpm_cost, tpm_limit)
end
if wait_tokens > wait_requests then return answer(TPM, ms_up(wait_tokens), available) end
if wait_requests > 0 then return answer(RPM, ms_up(wait_requests), available) end
if tonumber(held[3] or 0) >= open_limit then
  return answer(CONCURRENCY, CONCURRENCY_RETRY_MS, available)
end
