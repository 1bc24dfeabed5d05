-- publish: append events of many pairs of one shard and bring their books up to date, in one step.
--
-- Guarantee: a line is taken only if its cell stands exactly at `token n`, so an entry is appended once, under the one
-- token that owns the pair, and n has no hole. A retry after an unknown outcome is harmless (BEHIND). The hash of a
-- taken line contains every entry up to its `n` and none above, and its `id` is that of entry n. A refused line changes
-- nothing and does not touch the other lines.
--
-- Venue sequences and ns times stay text (they exceed 2^53). n and tokens are milliseconds, 13 digits.
--
-- KEYS[1] tail      hash, permanent: field -> `token n sequence id`
-- KEYS[2] deltas    stream, permanent
-- KEYS[3] trades    stream, permanent
-- KEYS[4..] book    per line with a hash: main, bids, asks; hashes, expire after book_ttl_ms (levels 1 s later)
-- ARGV[1] book_ttl_ms   life of an untouched book, milliseconds
-- ARGV[2] lines     msgpack array; texts and payloads inside are raw/str (cmsgpack knows no bin); a line is an array:
--    1 field      of tail                           2 label      the entries' k
--    3 token      text                              4 n          text: the last published, the first entry gets n + 1
--    5 stream     2 deltas, 3 trades                6 hash       0: none; i: the i-th book of KEYS
--    7 based_on   text: the n the hash must stand at to be patched; '': this call brings the whole state
--    8 levels     nil, or msgpack [bids, asks]: the whole state after this call
--    9 sequence   text: the venue's after this call, - after a Reset or when it has none; unused without entries
--   10 fields     flat array name, value …: further fields of main
--   11 entries    flat array t, d …; none: a flush only, the server stamps n, id and sequence from the cell
--
-- Returns a verdict a line
--   OK             taken
--   REWRITE        entries taken, but the hash was not where the patch needs it and is left alone: flush the whole state
--   FENCED cell    another token owns the pair, or the cell is gone (then the cell is empty): stop
--   BEHIND cell    token ours, cell's n above the n given: the caller is behind (a retry, or lost replies)
--   AHEAD cell     token ours, cell's n below the n given: the caller is ahead (an earlier call was refused or lost)

local tail = KEYS[1]
local book_ttl_ms = tonumber(ARGV[1])
local levels_ttl_ms = book_ttl_ms + 1000
local lines = cmsgpack.unpack(ARGV[2])
local call, unpack, sub, format, decode = redis.call, unpack, string.sub, string.format, cmsgpack.unpack
local CHUNK = 2000  -- values a command; unpack fails at about 8,000
-- A hash up to hash-max-listpack-entries (128) is a packed list that every HSET and HDEL scans. One value above 64
-- bytes makes it a real table for good (measured, 100 levels a side, a patch of 25: 19 µs a line in place of 25).
local TABLE_FROM, PAD_FIELD, PAD = 33, 'pad', string.rep('-', 65)

local time = call('TIME')
local now_ms = format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))

-- 'HSET' or 'HDEL' of a flat list; `count` may be far above what unpack carries.
local function in_chunks(command, key, flat, count)
  for first = 1, count, CHUNK do
    call(command, key, unpack(flat, first, math.min(first + CHUNK - 1, count)))
  end
end

-- Set price -> amount, delete where the amount is 0.
local function patch_side(key, levels)
  local sets, set_count, deletes, delete_count = {}, 0, {}, 0
  for price, amount in pairs(levels) do
    if amount == '0' then
      delete_count = delete_count + 1
      deletes[delete_count] = price
    else
      sets[set_count + 1] = price
      set_count = set_count + 2
      sets[set_count] = amount
    end
  end
  in_chunks('HSET', key, sets, set_count)
  in_chunks('HDEL', key, deletes, delete_count)
end

-- Replace a side. The key was deleted before.
local function write_side(key, levels)
  local sets, set_count = {}, 0
  for price, amount in pairs(levels) do
    if amount ~= '0' then
      sets[set_count + 1] = price
      set_count = set_count + 2
      sets[set_count] = amount
    end
  end
  if set_count >= 2 * TABLE_FROM then
    call('HSET', key, PAD_FIELD, PAD)
    in_chunks('HSET', key, sets, set_count)
    call('HDEL', key, PAD_FIELD)
  else
    in_chunks('HSET', key, sets, set_count)
  end
end

local function overlay(under, over)
  if not under then
    return over
  end
  for price, amount in pairs(over) do
    under[price] = amount
  end
  return under
end

-- What the entries do to the book together: whether they replace it, and price -> amount of each side (nil: nothing).
local function effect(entries)
  local whole, bids, asks = false, nil, nil
  for i = 1, #entries, 2 do
    local kind = entries[i]
    if kind == 'delta' then
      local d = decode(entries[i + 1])
      bids, asks = overlay(bids, d[2]), overlay(asks, d[3])
    elseif kind == 'snapshot' then
      local d = decode(entries[i + 1])
      whole, bids, asks = true, d[2], d[3]
    elseif kind == 'reset' then
      whole, bids, asks = true, {}, {}
    end
  end
  return whole, bids, asks
end

-- Bring the level hashes to the state after this call. False: they do not stand where the patch needs them.
local function flush_levels(main, bids_key, asks_key, based_on, levels, entries)
  local whole, bids, asks
  if levels then
    local state = decode(levels)
    whole, bids, asks = true, state[1], state[2]
  else
    if based_on ~= '' and call('HGET', main, 'n') ~= based_on then
      return false
    end
    whole, bids, asks = effect(entries)
    if based_on == '' then
      -- The first effect must replace the book: a delta on an unknown state would leave levels nobody vouches for.
      local first
      for i = 1, #entries, 2 do
        local kind = entries[i]
        if kind == 'delta' or kind == 'snapshot' or kind == 'reset' then
          first = kind
          break
        end
      end
      if not first or first == 'delta' then
        return false
      end
    end
  end
  if whole then
    call('DEL', bids_key, asks_key)
    write_side(bids_key, bids)
    write_side(asks_key, asks)
  else
    if bids then
      patch_side(bids_key, bids)
    end
    if asks then
      patch_side(asks_key, asks)
    end
  end
  return true
end

local function refusal(cell, token, n)
  if not cell then
    return 'FENCED '
  end
  local cell_token, cell_n = string.match(cell, '^(%d+) (%d+) ')
  if cell_token ~= token then
    return 'FENCED ' .. cell
  end
  return (tonumber(cell_n) > tonumber(n) and 'BEHIND ' or 'AHEAD ') .. cell
end

local asked = {}
for i = 1, #lines do
  asked[i] = lines[i][1]
end
local cells = {}
for first = 1, #asked, CHUNK do
  local some = call('HMGET', tail, unpack(asked, first, math.min(first + CHUNK - 1, #asked)))
  for i = 1, #some do
    cells[first + i - 1] = some[i]
  end
end

local verdicts = {}
local moved, moved_count = {}, 0
local latest = {}  -- cells moved by this call, so that two lines of one field follow each other
for i = 1, #lines do
  local line = lines[i]
  local field, token, n = line[1], line[3], line[4]
  local cell = latest[field] or cells[i]
  local prefix = token .. ' ' .. n .. ' '
  if not cell or sub(cell, 1, #prefix) ~= prefix then
    verdicts[i] = refusal(cell, token, n)
  else
    local label, stream, entries = line[2], KEYS[line[5]], line[11]
    local count = #entries
    local sequence, id = line[9], nil
    if count > 0 then
      local number = tonumber(n)
      for j = 1, count, 2 do
        number = number + 1
        n = format('%.0f', number)
        id = call('XADD', stream, '*', 'k', label, 't', entries[j], 'n', n, 'e', token, 'd', entries[j + 1])
      end
      cell = token .. ' ' .. n .. ' ' .. sequence .. ' ' .. id
      latest[field] = cell
      moved[moved_count + 1] = field
      moved_count = moved_count + 2
      moved[moved_count] = cell
    else
      sequence, id = string.match(cell, '^%d+ %d+ (%S+) (%S+)$')
    end
    verdicts[i] = 'OK'
    local book = line[6]
    if book > 0 then
      local main, bids, asks = KEYS[3 * book + 1], KEYS[3 * book + 2], KEYS[3 * book + 3]
      if flush_levels(main, bids, asks, line[7], line[8], entries) then
        local fields = line[10]
        local last = #fields
        fields[last + 1], fields[last + 2] = 'n', n
        fields[last + 3], fields[last + 4] = 'id', id
        fields[last + 5], fields[last + 6] = 'epoch', token
        fields[last + 7], fields[last + 8] = 'sequence', sequence
        fields[last + 9], fields[last + 10] = 'published_ms', now_ms
        fields[last + 11], fields[last + 12] = 'checked_ms', now_ms
        call('HSET', main, unpack(fields))
        call('PEXPIRE', main, book_ttl_ms)
        call('PEXPIRE', bids, levels_ttl_ms)
        call('PEXPIRE', asks, levels_ttl_ms)
      else
        verdicts[i] = 'REWRITE'
      end
    end
  end
end
in_chunks('HSET', tail, moved, moved_count)
return verdicts
