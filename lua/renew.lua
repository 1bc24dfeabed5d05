-- renew: extend the leases of one shard that are still ours, in one call.
--
-- Guarantee: a lease is extended only while its value is exactly the one we were granted. A missing lease is never made
-- again: somebody may be acquiring it.
--
-- KEYS[1..] lease   string `token holder`, expires after ttl_ms
-- ARGV[1] ttl_ms    lease time, milliseconds
-- ARGV[2..] value   `token holder`, one a key, in the order of the keys
--
-- Returns the 1-based positions of the leases that are lost; empty when all are ours.

local ttl_ms = ARGV[1]
local CHUNK = 1000  -- unpack fails at about 8,000 values

local lost = {}
for first = 1, #KEYS, CHUNK do
  local last = math.min(first + CHUNK - 1, #KEYS)
  local values = redis.call('MGET', unpack(KEYS, first, last))
  for i = first, last do
    if values[i - first + 1] == ARGV[i + 1] then
      redis.call('PEXPIRE', KEYS[i], ttl_ms)
    else
      lost[#lost + 1] = i
    end
  end
end
return lost
