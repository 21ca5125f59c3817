package dev.grep11.agent.store;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PostgresAddressTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "host=db port=6000 dbname=keys user=agent password=s3cret"
            + "|jdbc:postgresql://db:6000/keys|agent|s3cret",
        "user=agent password='it''s'|unreadable||",
        "user=agent password='a b\\'c' host=::1|jdbc:postgresql://[::1]:5432/agent|agent|a b'c",
        "postgres://agent:s3cret@db/keys|jdbc:postgresql://db/keys|agent|s3cret",
        "postgresql://db:6000/keys?sslmode=require" + "|jdbc:postgresql://db:6000/keys||",
        "postgres://agent@db/keys?password=s3cret|jdbc:postgresql://db/keys|agent|s3cret",
        "jdbc:postgresql://db/keys|jdbc:postgresql://db/keys||",
        "jdbc:postgresql:keys|jdbc:postgresql:keys||",
        "jdbc:postgresql://a:1,[::1]:2/keys?user=agent&password=s3cret%26+x"
            + "|jdbc:postgresql://a:1,[::1]:2/keys|agent|s3cret& x",
      })
  void readsTheFormsOfLibpqAndJdbc(String text, String url, String user, String password) {
    if (url.equals("unreadable")) {
      assertThatThrownBy(() -> PostgresAddress.of(text)).isInstanceOf(StoreException.class);
      return;
    }
    var address = PostgresAddress.of(text);
    assertThat(address.url()).isEqualTo(url);
    assertThat(address.properties().getProperty("user")).isEqualTo(user);
    assertThat(address.properties().getProperty("password")).isEqualTo(password);
    assertThat(address.toString()).doesNotContain("s3cret", "a b'c");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "s3cret",
        "host=db s3cret",
        "postgres://",
        "=s3cret",
        "password='s3cret",
        "host=db port=54x2 password=s3cret",
        "jdbc:postgresql://127.0.0.1:54x2/keys?user=agent&password=s3cret",
        "jdbc:postgresql://127.0.0.1:70000/keys?user=agent&password=s3cret",
        "jdbc:postgresql://127.0.0.1:1/keys?user=agent&password=%zzs3cret",
        "jdbc:postgresql://agent:s3cret@127.0.0.1/keys",
        "jdbc:postgresql://127.0.0.1/keys%zz?password=s3cret",
        "postgres://agent:pw@127.0.0.1:1/keys%zz?password=s3cret",
        "postgres://agent:s3cret@127.0.0.1:70000/keys"
      })
  void refusesAnythingElseWithoutSayingWhatItIs(String text) {
    assertThatThrownBy(() -> PostgresAddress.of(text))
        .isInstanceOf(StoreException.class)
        .hasMessageContaining("connectionstring")
        .hasMessageNotContaining("s3cret")
        .hasNoCause();
  }

  @Test
  void theParametersOfAUrlArePropertiesAndNoneIsLeftInIt() {
    var address =
        PostgresAddress.of(
            "jdbc:postgresql://db/keys?sslmode=require&sslpassword=s3cret&connectTimeout=3");
    assertThat(address.url()).isEqualTo("jdbc:postgresql://db/keys");
    assertThat(address.properties())
        .containsEntry("sslmode", "require")
        .containsEntry("sslpassword", "s3cret")
        .containsEntry("connectTimeout", "3");
  }
}
