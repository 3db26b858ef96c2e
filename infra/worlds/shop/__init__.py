"""The shop: our own small site. `store` keeps catalogue, carts and orders in SQLite, `site` shows them."""

from infra.worlds.shop.site import create_app
from infra.worlds.shop.store import ShopWorld, cart, orders, seed_shop

__all__ = ["ShopWorld", "cart", "create_app", "orders", "seed_shop"]
