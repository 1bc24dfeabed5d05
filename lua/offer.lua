-- offer: holders of one shard consent to hand their leases over to a named member, or take that consent back.
--
-- Guarantee: an offer is set or withdrawn only while the lease's value is exactly the one we were granted, so a former
-- holder's late word neither invites anybody nor undoes its successor's. The lease, the cell and the offerer's right to
-- publish are untouched: he is fenced by the acquire of the member named, not by the offer. `acquire` uses an offer up.
--
-- KEYS[1..] pair    per pair its lease (string `token holder`) and its offer (string, the member named; expires)
-- ARGV[1] ttl_ms    how long the offer stands, milliseconds; while it does a free lease is RESERVED for the member named
-- ARGV[2..] offer   per pair the lease's value `token holder` and the member named; '' withdraws the offer
--
-- Returns the 1-based positions of the pairs whose lease is not ours (their offers are left alone); empty when all are.

local ttl_ms = ARGV[1]

local lost = {}
for i = 1, #KEYS / 2 do
  local lease, offer = KEYS[2 * i - 1], KEYS[2 * i]
  local value, next = ARGV[2 * i], ARGV[2 * i + 1]
  if redis.call('GET', lease) ~= value then
    lost[#lost + 1] = i
  elseif next == '' then
    redis.call('DEL', offer)
  else
    redis.call('SET', offer, next, 'PX', ttl_ms)
  end
end
return lost
