"""Order books: events, the book, sequence rules, wire format, and the reader that joins hash and stream without a gap."""
