-- Make the token windows of one subject count what its requests really cost.
--
-- KEYS  1 holds  2.. token window of each pair
-- ARGV  pairs (request id, actual TPM cost)
-- Answers how many windows changed.

local changed = 0
for i = 1, #ARGV, 2 do
  changed = changed + correct(KEYS[1], KEYS[2 + (i - 1) / 2], ARGV[i], tonumber(ARGV[i + 1]))
end
return changed
