"""What every part of provisioning uses: errors, addresses, what the network tells."""
