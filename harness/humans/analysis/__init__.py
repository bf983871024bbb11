"""What answers of people say: functions on answers and arrays, and the page that is made of them."""
