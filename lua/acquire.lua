-- acquire: take a free, offered or own lease, and fence everybody who held it before.
--
-- Guarantee: whoever is granted holds a token above every token these cells have ever carried, in the same step in which
-- the former owner's token stops to be accepted by publish. The token is ALWAYS new, also for the same holder, so that
-- commands of a lost connection meet another token. A missing cell (flush, first start) starts n at the token: above
-- every earlier n, so a visible hole and never a repeat.
--
-- KEYS[1] tail      hash, permanent: field -> `token n sequence id` (or the lanes hash)
-- KEYS[2] lease     string `token holder`, expires after ttl_ms
-- KEYS[3] offer     string, the holder that the present one hands over to; expires; for a lane a key that never exists
-- ARGV[1] holder    host:pid:nonce
-- ARGV[2] ttl_ms    lease time, milliseconds
-- ARGV[3] floor     highest token the applicant has seen anywhere, 0 if none
-- ARGV[4..] field   one or more fields of tail, all given the same token
--
-- Returns
--   OK token {old n}…   per field: the cell as it was before ('' if there was none), and its n now
--   TAKEN holder        somebody else holds the lease
--   RESERVED next       nobody holds it, but it is offered to `next`

local tail, lease, offer = KEYS[1], KEYS[2], KEYS[3]
local holder, ttl_ms, floor = ARGV[1], ARGV[2], tonumber(ARGV[3])

local held = redis.call('GET', lease)
if held then
  local owner = string.match(held, '^%d+ (.*)$')
  if owner ~= holder and redis.call('GET', offer) ~= holder then
    return {'TAKEN', owner or held}
  end
else
  local next = redis.call('GET', offer)
  if next and next ~= holder then
    return {'RESERVED', next}
  end
end

-- Tokens and n are milliseconds: 13 digits, exact as a double. They are joined to text by %.0f only.
local time = redis.call('TIME')
local token = math.max(time[1] * 1000 + math.floor(time[2] / 1000), floor + 1)
local cells = redis.call('HMGET', tail, unpack(ARGV, 4))
for i = 1, #cells do
  if cells[i] then
    token = math.max(token, tonumber(string.match(cells[i], '^(%d+) ')) + 1)
  end
end

local token_text = string.format('%.0f', token)
local reply = {'OK', token_text}
local changed = {}
for i = 1, #cells do
  local old = cells[i] or ''
  local n, rest = string.match(old, '^%d+ (%d+)( .*)$')
  if not n then
    n, rest = token_text, ' - 0-0'
  end
  changed[2 * i - 1] = ARGV[3 + i]
  changed[2 * i] = token_text .. ' ' .. n .. rest
  reply[2 * i + 1] = old
  reply[2 * i + 2] = n
end
redis.call('HSET', tail, unpack(changed))
redis.call('SET', lease, token_text .. ' ' .. holder, 'PX', ttl_ms)
redis.call('DEL', offer)
return reply
