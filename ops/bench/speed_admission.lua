-- The admission of `make bench-speed`'s nginx: the gateway's own script by EVALSHA, its riders, and
-- its settlements. It keeps no ledger, no spool and no count of its own: what it decides is
-- forgotten with this process, and who pays what is written down nowhere.
--
-- `setting` (a table, see speed_nginx.py): redis (its socket), admit and settle (digests), key (the
-- Authorization that is let in), settle_keys, settle_words, and by path what is asked of `admit`:
-- keys, words (with @names for what each request has of its own), tokens (the window of tokens).

local redis = require "nginx.redis"

local M = {}
local setting = {}
local riders, ended = {}, {}
local number = 0
local GRACE_MS = 150000
local KEEP_MS, POOL = 60000, 512
local MOST_RIDERS, MOST_ENDED = 8, 200

function M.set(given)
  setting = given
end

local function connected()
  local line = redis:new()
  line:set_timeout(1000)
  local ok, why = line:connect(setting.redis)
  if not ok then return nil, why end
  return line
end

local function refuse(status, why)
  ngx.status = status
  ngx.header["content-type"] = "application/json"
  ngx.say('{"detail":"' .. why .. '"}')
  return ngx.exit(status)
end

local function own_words(hold)
  number = number + 1
  return {
    ["@id"] = string.format("lua-%07d-%024d", ngx.worker.pid() % 10000000, number),
    ["@number"] = number,
    ["@deadline"] = string.format("%.0f", ngx.now() * 1000 + GRACE_MS),
    ["@hold"] = hold,
    ["@cost"] = hold,
  }
end

function M.access()
  if ngx.var.http_authorization ~= setting.key then return refuse(401, "no key") end
  local product = setting.products[ngx.var.uri]
  if not product then return refuse(404, "no product") end
  local own = own_words(tonumber(ngx.var.content_length) or 0)
  local words = { setting.admit, 0 }
  for _, key in ipairs(product.keys) do words[#words + 1] = key end
  local riding = {}
  for i = 1, math.min(#riders, MOST_RIDERS) do
    riding[i] = table.remove(riders)
    words[#words + 1] = riding[i].tokens
  end
  words[2] = #words - 2
  for _, word in ipairs(product.words) do words[#words + 1] = own[word] or word end
  for _, each in ipairs(riding) do
    words[#words + 1], words[#words + 2], words[#words + 3] = each.id, each.cost, each.cost
  end
  local line, why = connected()
  if not line then return refuse(503, why) end
  local reply
  reply, why = line:evalsha(unpack(words))
  if not reply then return refuse(503, why) end
  line:set_keepalive(KEEP_MS, POOL)
  if reply[1] > 1 then return refuse(reply[1] == 6 and 402 or 429, "refused: " .. reply[1]) end
  ngx.header["x-request-id"] = own["@id"]
  ngx.header["x-ratelimit-limit"] = reply[3]
  ngx.header["x-ratelimit-remaining"] = reply[4]
  ngx.ctx.admitted = { id = own["@id"], tokens = product.tokens }
end

-- In the phase after the answer, which may not talk to Redis: it rides along with the next ask.
function M.log()
  local each = ngx.ctx.admitted
  if not each then return end
  -- The usage that a stream tells in its last event would need a filter of its body.
  each.cost = tonumber(ngx.var.upstream_http_x_usage_tokens) or 0
  riders[#riders + 1] = each
  ended[#ended + 1] = each
end

-- Ten times a second: holds of what is over are released, as the gateway does once it is posted.
function M.settle()
  while #ended > 0 do
    local line = connected()
    if not line then return end
    local words, told = { setting.settle, 0 }, {}
    for _, key in ipairs(setting.settle_keys) do words[#words + 1] = key end
    while #ended > 0 and #told < 2 * MOST_ENDED do
      local each = table.remove(ended)
      words[#words + 1] = each.tokens
      told[#told + 1], told[#told + 2] = each.id, each.cost
    end
    words[2] = #words - 2
    for _, word in ipairs(setting.settle_words) do words[#words + 1] = word end
    for _, word in ipairs(told) do words[#words + 1] = word end
    if not line:evalsha(unpack(words)) then return end
    line:set_keepalive(KEEP_MS, POOL)
  end
end

return M
