-- Release the holds of one subject, correct its windows, and take its newest balance: together,
-- so that no request is admitted between a hold's release and the charge that follows from it.
--
-- KEYS  1 holds  2 deadlines of the tag  3 balance copy  4.. token window of each settlement
-- ARGV  1 version of the balance ('' none)  2 ms that the copy lives  3 how many words the copy has
--       then these words (field, value, ...), then pairs (request id, actual TPM; -1: unchanged)
-- Answers how many holds were released, and the version that the copy has now (-1: no copy).

local words = tonumber(ARGV[3])
local released = 0

for i = 4 + words, #ARGV, 2 do
  local request_id, actual = ARGV[i], tonumber(ARGV[i + 1])
  local packed = redis.call('HGET', KEYS[1], request_id)
  if packed then
    local hold, tpm, entry, _, _, product, instance, ended, mark = read_hold(packed)
    local window = KEYS[4 + (i - 4 - words) / 2]
    if #mark > 1 then leave_shadow(KEYS[1], window, product, mark, actual) end
    if actual >= 0 and entry > 0 and actual ~= tpm then
      amend(window, entry, actual - tpm)
    end
    redis.call('HDEL', KEYS[1], request_id)
    if not ended then free_place(KEYS[1], product) end
    add_held(KEYS[1], -hold)
    redis.call('ZREM', KEYS[2], instance .. ' ' .. string.sub(KEYS[1], 9) .. ' ' .. request_id)
    released = released + 1
  end
end
-- Nothing is held when only #until is left, and a sum of 0 where no request held any token.
if released > 0 then
  local fields = redis.call('HLEN', KEYS[1])
  if fields == 1 or (fields == 2 and redis.call('HGET', KEYS[1], '#held') == '0') then
    redis.call('DEL', KEYS[1])
  end
end

local had = redis.call('HMGET', KEYS[3], 'version', 'tomb')
local have = tonumber(had[1] or -1)
if ARGV[1] ~= '' then
  local version = tonumber(ARGV[1])
  if version > have then
    redis.call('DEL', KEYS[3])
    redis.call('HSET', KEYS[3], 'version', ARGV[1], unpack(ARGV, 4, 3 + words))
    -- Revoked without the ledger (bury.lua): a newer balance does not bring it back.
    if had[2] then
      local status = redis.call('HGET', KEYS[3], 'status')
      if status ~= 'revoked' then
        redis.call('HSET', KEYS[3], 'status', 'revoked', 'was', status, 'tomb', had[2])
      end
    end
    have = version
  end
  redis.call('PEXPIRE', KEYS[3], ARGV[2])
end
return { released, have }
