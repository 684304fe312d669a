"""The operator: one Affiliate YAML makes and keeps a tenant."""
