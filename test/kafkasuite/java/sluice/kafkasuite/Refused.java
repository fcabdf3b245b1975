package sluice.kafkasuite;

import java.util.AbstractMap;
import java.util.AbstractSet;
import java.util.Iterator;
import java.util.Map;
import java.util.Set;
import java.util.SortedSet;
import java.util.function.Supplier;

/** A map whose keys can be looked at and whose values cannot: they would be objects of a broker that is a JVM. */
public class Refused<V> extends AbstractMap<Integer, V> {
    private final SortedSet<Integer> keys;
    private final Supplier<? extends Error> refuse;

    public Refused(SortedSet<Integer> keys, Supplier<? extends Error> refuse) {
        this.keys = keys;
        this.refuse = refuse;
    }

    @Override
    public boolean containsKey(Object key) {
        return keys.contains(key);
    }

    @Override
    public V get(Object key) {
        if (!keys.contains(key)) {
            return null;
        }
        throw refuse.get();
    }

    @Override
    public Set<Integer> keySet() {
        return keys;
    }

    @Override
    public Set<Map.Entry<Integer, V>> entrySet() {
        return new AbstractSet<>() {
            @Override
            public Iterator<Map.Entry<Integer, V>> iterator() {
                Iterator<Integer> it = keys.iterator();
                return new Iterator<>() {
                    @Override
                    public boolean hasNext() {
                        return it.hasNext();
                    }

                    @Override
                    public Map.Entry<Integer, V> next() {
                        int key = it.next();
                        return new AbstractMap.SimpleImmutableEntry<Integer, V>(key, null) {
                            @Override
                            public V getValue() {
                                throw refuse.get();
                            }
                        };
                    }
                };
            }

            @Override
            public int size() {
                return keys.size();
            }
        };
    }
}
