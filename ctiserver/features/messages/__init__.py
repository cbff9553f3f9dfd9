"""Messages to the world outside: SMS and e-mail to customers, webhooks to other systems."""
