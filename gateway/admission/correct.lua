-- Some requests of one subject were decided: see `decided` in window.lua.
--
-- KEYS  1 holds  2.. token window of each
-- ARGV  of each: request id, actual TPM cost (-1: unchanged), cost
-- Answers how many of them changed something.

local changed = 0
for i = 1, #ARGV, 3 do
  changed = changed + decided(KEYS[1], KEYS[2 + (i - 1) / 3], ARGV[i], tonumber(ARGV[i + 1]),
    tonumber(ARGV[i + 2]))
end
return changed
