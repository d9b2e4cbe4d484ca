-- Rows of `customer` whose keyspace id, hash(customer_id), is 0x80 or above.
INSERT INTO customer (customer_id, email) VALUES
  (4, 'dan@domain.com');
INSERT INTO corder (order_id, customer_id, sku, price) VALUES
  (4, 4, 'SKU-1002', 30);
