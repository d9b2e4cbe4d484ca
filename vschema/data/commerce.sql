-- Rows of `commerce`. The sequences start behind the rows of `customer`.
INSERT INTO product (sku, description, price) VALUES
  ('SKU-1001', 'Monitor', 100),
  ('SKU-1002', 'Keyboard', 30);
INSERT INTO customer_seq (id, next_id, cache) VALUES (0, 6, 1000);
INSERT INTO order_seq (id, next_id, cache) VALUES (0, 6, 1000);
