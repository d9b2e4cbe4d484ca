-- Rows of `customer` whose keyspace id, hash(customer_id), is below 0x80.
INSERT INTO customer (customer_id, email) VALUES
  (1, 'alice@domain.com'),
  (2, 'bob@domain.com'),
  (3, 'charlie@domain.com'),
  (5, 'eve@domain.com');
INSERT INTO corder (order_id, customer_id, sku, price) VALUES
  (1, 1, 'SKU-1001', 100),
  (2, 2, 'SKU-1002', 30),
  (3, 3, 'SKU-1002', 30),
  (5, 5, 'SKU-1002', 30);
