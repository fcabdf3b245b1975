package sluice.kafkasuite;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.DeleteAclsResult.FilterResult;
import org.apache.kafka.clients.admin.DeleteAclsResult.FilterResults;
import org.apache.kafka.common.Endpoint;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AccessControlEntryFilter;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.server.authorizer.AclCreateResult;
import org.apache.kafka.server.authorizer.AclDeleteResult;
import org.apache.kafka.server.authorizer.AclDeleteResult.AclBindingDeleteResult;
import org.apache.kafka.server.authorizer.Action;
import org.apache.kafka.server.authorizer.AuthorizableRequestContext;
import org.apache.kafka.server.authorizer.AuthorizationResult;
import org.apache.kafka.server.authorizer.Authorizer;
import org.apache.kafka.server.authorizer.AuthorizerServerInfo;

/**
 * What a test gets in the place of the authorizer of a JVM broker: the cluster's ACLs, by requests of a user who may do everything. Whom the test's own
 * class takes clients for (theirs), Sluice knows by another name (here): ACLs that say the one are kept with the other.
 */
final class Acls implements Authorizer {
    private final Supplier<Admin> admin;
    private final String theirs;
    private final String here;
    private final Supplier<? extends Error> refuse;

    Acls(Supplier<Admin> admin, String theirs, String here, Supplier<? extends Error> refuse) {
        this.admin = admin;
        this.theirs = theirs;
        this.here = here;
        this.refuse = refuse;
    }

    private static String swap(String name, String from, String to) {
        return from.equals(name) ? to : name;
    }

    private AclBinding inside(AclBinding b) {
        AccessControlEntry e = b.entry();
        return new AclBinding(b.pattern(), new AccessControlEntry(swap(e.principal(), theirs, here), e.host(), e.operation(), e.permissionType()));
    }

    private AclBinding outside(AclBinding b) {
        AccessControlEntry e = b.entry();
        return new AclBinding(b.pattern(), new AccessControlEntry(swap(e.principal(), here, theirs), e.host(), e.operation(), e.permissionType()));
    }

    private AclBindingFilter inside(AclBindingFilter f) {
        AccessControlEntryFilter e = f.entryFilter();
        return new AclBindingFilter(f.patternFilter(), new AccessControlEntryFilter(swap(e.principal(), theirs, here), e.host(), e.operation(), e.permissionType()));
    }

    @Override
    public List<? extends CompletionStage<AclCreateResult>> createAcls(AuthorizableRequestContext by, List<AclBinding> acls) {
        try (Admin a = admin.get()) {
            Map<AclBinding, ?> done = a.createAcls(acls.stream().map(this::inside).collect(Collectors.toList())).values();
            return acls.stream().map(acl -> {
                ApiException wrong = failure(() -> ((KafkaFuture<?>) done.get(inside(acl))).get());
                return CompletableFuture.completedFuture(wrong == null ? AclCreateResult.SUCCESS : new AclCreateResult(wrong));
            }).collect(Collectors.toList());
        }
    }

    @Override
    public List<? extends CompletionStage<AclDeleteResult>> deleteAcls(AuthorizableRequestContext by, List<AclBindingFilter> filters) {
        try (Admin a = admin.get()) {
            Map<AclBindingFilter, KafkaFuture<FilterResults>> done =
                    a.deleteAcls(filters.stream().map(this::inside).collect(Collectors.toList())).values();
            return filters.stream().map(f -> CompletableFuture.completedFuture(deleted(done.get(inside(f))))).collect(Collectors.toList());
        }
    }

    private AclDeleteResult deleted(KafkaFuture<FilterResults> done) {
        List<AclBindingDeleteResult> all = new ArrayList<>();
        ApiException wrong = failure(() -> {
            for (FilterResult r : done.get().values()) {
                all.add(r.exception() == null ? new AclBindingDeleteResult(outside(r.binding())) : new AclBindingDeleteResult(outside(r.binding()), r.exception()));
            }
            return null;
        });
        return wrong == null ? new AclDeleteResult(all) : new AclDeleteResult(wrong);
    }

    @Override
    public Iterable<AclBinding> acls(AclBindingFilter filter) {
        try (Admin a = admin.get()) {
            return by(a, filter);
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException(e);
        }
    }

    /** The ACLs that a client is told. */
    List<AclBinding> by(Admin client, AclBindingFilter filter) throws InterruptedException, ExecutionException {
        Collection<AclBinding> all = client.describeAcls(inside(filter)).values().get();
        return all.stream().map(this::outside).collect(Collectors.toList());
    }

    private static ApiException failure(Callable<?> action) {
        try {
            action.call();
            return null;
        } catch (ExecutionException e) {
            return e.getCause() instanceof ApiException ? (ApiException) e.getCause() : new ApiException(e.getCause());
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    @Override
    public Map<Endpoint, ? extends CompletionStage<Void>> start(AuthorizerServerInfo info) {
        throw refuse.get();
    }

    @Override
    public List<AuthorizationResult> authorize(AuthorizableRequestContext by, List<Action> actions) {
        throw refuse.get();
    }

    @Override
    public void close() throws IOException {
    }

    @Override
    public void configure(Map<String, ?> configs) {
    }
}
