-- Which limits hold: those of the tier, each one overridden by the key's own.

-- rpm, tpm (nil: tokens are not limited), concurrency. `first` is the place in ARGV of six numbers:
-- rpm, tpm (-1: none), concurrency of the tier "key", then of the tier "premium".
local function pick_limits(first, tier, own)
  local at = first
  if tier == 'premium' then at = first + 3 end
  local rpm, tpm, open = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  if own then
    -- What is no number (- for null, . for not named) is the tier's.
    -- Those of a shadow may follow (shadow.lua).
    local r, t, c = string.match(own, '^(%S+) (%S+) (%S+)')
    rpm, tpm, open = tonumber(r) or rpm, tonumber(t) or tpm, tonumber(c) or open
  end
  tpm = tonumber(tpm)
  if tpm < 0 then tpm = nil end
  return tonumber(rpm), tpm, tonumber(open)
end
